"""Events keep their settled order in another PostgreSQL cluster.

``events.transaction`` is the number of the transaction that wrote the row (0003), and a cluster counts its own. In a database
that was restored into another one, new events would stand before those that are there, and what was restored would not be
settled for as long as the numbers are small. So a number is added to the cluster's own, see ``transaction_numbers_repository``.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

_UP = (
    """
    CREATE TABLE transaction_numbers (
        only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
        system_identifier bigint NOT NULL,
        added bigint NOT NULL
    )
    """,
    "INSERT INTO transaction_numbers (system_identifier, added) SELECT system_identifier, 0 FROM pg_control_system()",
    # With the number in its text, so that it is inlined and costs nothing.
    """
    CREATE FUNCTION settled_before() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint + 0
    $$
    """,
)


def upgrade() -> None:
    """Note this cluster, to which nothing is added."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Use the cluster's numbers alone."""
    op.execute("DROP FUNCTION settled_before")
    op.execute("DROP TABLE transaction_numbers")
    op.execute("ALTER TABLE events ALTER COLUMN transaction SET DEFAULT (pg_current_xact_id()::text)::bigint")
