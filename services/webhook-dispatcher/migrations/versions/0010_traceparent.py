"""The trace that an event belongs to, as its publisher named it (W3C Trace Context), or as it was given where traces are sent."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE events ADD COLUMN traceparent text")


def downgrade() -> None:
    op.execute("ALTER TABLE events DROP COLUMN traceparent")
