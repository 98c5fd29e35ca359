"""How much a run has read of a feed, and how many orders that we never gave are kept of one: so that neither grows without end.

Orders that are kept already count for nothing: the limit is on what is added.
"""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Count both."""
    op.execute("ALTER TABLE reconciliations ADD COLUMN entries_read bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE feed_positions ADD COLUMN strangers bigint NOT NULL DEFAULT 0")


def downgrade() -> None:
    """Count neither."""
    op.execute("ALTER TABLE feed_positions DROP COLUMN strangers")
    op.execute("ALTER TABLE reconciliations DROP COLUMN entries_read")
