"""Events of the outbox leave in the order in which they were written.

Whoever writes an event holds the row of what it is about, so that of two events of one key the later has the higher number.
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Give the events numbers."""
    op.execute("ALTER TABLE outbox ADD COLUMN number bigint")
    op.execute(
        "UPDATE outbox o SET number = n.number FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM outbox) n"
        " WHERE n.id = o.id"
    )
    op.execute("ALTER TABLE outbox ALTER COLUMN number SET NOT NULL")
    op.execute("ALTER TABLE outbox ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY")
    op.execute(
        "SELECT setval(pg_get_serial_sequence('outbox', 'number'), coalesce(max(number), 0) + 1, false) FROM outbox"
    )
    op.execute("DROP INDEX outbox_ordering_key")
    op.execute("CREATE INDEX outbox_ordering_key ON outbox (ordering_key, number)")


def downgrade() -> None:
    """Order them by their ids again."""
    op.execute("DROP INDEX outbox_ordering_key")
    op.execute("CREATE INDEX outbox_ordering_key ON outbox (ordering_key, id)")
    op.execute("ALTER TABLE outbox DROP COLUMN number")
