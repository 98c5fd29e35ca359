"""A realm's own roles."""

from alembic import op

revision = "0002_roles"
down_revision = "0001"

# The unique index is also what finds the roles that a key names.
_ROLES = """
CREATE TABLE roles (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants,
    environment text NOT NULL CHECK (environment IN ('live', 'test')),
    name text NOT NULL,
    description text,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (tenant_id, environment, name)
)
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_ROLES)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE roles")
