"""How long a realm's history is kept, and what has to be redacted later.

``leading_floor`` and ``leading_ceiling`` give the range of ids that share an id's leading 64 bits: an event's deliveries. The age
of first matches is found by a BRIN index: rows are written in the order of their events, and inserting costs next to nothing.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE retention_policies (
        tenant_id uuid NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        retention_days integer,
        redact_after_days integer,
        redacted_up_to uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, environment)
    )
    """,
    # Events that were due to be redacted and were still owed to somebody.
    """
    CREATE TABLE postponed_redactions (
        tenant_id uuid NOT NULL,
        environment text NOT NULL,
        event uuid NOT NULL,
        PRIMARY KEY (tenant_id, environment, event)
    )
    """,
    "CREATE INDEX first_matches_age ON first_matches USING brin (event) WITH (pages_per_range = 32, autosummarize = on)",
    """
    CREATE FUNCTION leading_floor(id uuid) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (left(id::text, 18) || '-0000-000000000000')::uuid
    """,
    """
    CREATE FUNCTION leading_ceiling(id uuid) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (left(id::text, 18) || '-ffff-ffffffffffff')::uuid
    """,
)

_DOWN = (
    "DROP FUNCTION leading_ceiling",
    "DROP FUNCTION leading_floor",
    "DROP INDEX first_matches_age",
    "DROP TABLE postponed_redactions, retention_policies",
)


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWN:
        op.execute(statement)
