"""When a webhook was enabled, and the deleted webhooks of a lane.

``enabled_at`` starts the ramp of what was held; it is null for a webhook that was never disabled. The index leads a worker to
deliveries that were left to a deleted webhook without a look at live ones.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE webhooks ADD COLUMN enabled_at timestamptz")
    op.execute("CREATE INDEX webhooks_lane_deleted ON webhooks (lane) WHERE deleted_at IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX webhooks_lane_deleted")
    op.execute("ALTER TABLE webhooks DROP COLUMN enabled_at")
