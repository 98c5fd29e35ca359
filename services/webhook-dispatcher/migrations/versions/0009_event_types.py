"""Event types that a realm defined itself. ``json``, not ``jsonb``: schema and example are shown as they were given."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE event_types (
            id uuid PRIMARY KEY,
            tenant_id uuid NOT NULL,
            environment text NOT NULL CHECK (environment IN ('live', 'test')),
            revision bigint NOT NULL DEFAULT 1,
            name text NOT NULL,
            description text NOT NULL,
            json_schema json NOT NULL,
            example json NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            created_by text NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            UNIQUE (tenant_id, environment, name)
        )
        """
    )
    op.execute("CREATE INDEX event_types_realm ON event_types (tenant_id, environment, id)")


def downgrade() -> None:
    op.execute("DROP TABLE event_types")
