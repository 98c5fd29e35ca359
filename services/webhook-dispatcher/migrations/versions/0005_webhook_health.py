"""The health of webhooks, and retries beside first attempts in the index of due deliveries.

``failing_since`` and ``failures_in_a_row`` tell of a run of failures that lasts; ``breaker_opened_at`` and ``probe_at`` are both
set while the breaker is open; ``probe_delay_seconds`` outlives it, so that one that opens again soon does not start with the
shortest wait. ``recovered_at`` starts the ramp of what was held.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_UP = (
    """
    ALTER TABLE webhooks
        ADD COLUMN failing_since timestamptz,
        ADD COLUMN failures_in_a_row integer NOT NULL DEFAULT 0,
        ADD COLUMN breaker_opened_at timestamptz,
        ADD COLUMN probe_at timestamptz,
        ADD COLUMN probe_delay_seconds integer NOT NULL DEFAULT 0,
        ADD COLUMN recovered_at timestamptz,
        ADD CONSTRAINT webhooks_breaker CHECK ((breaker_opened_at IS NULL) = (probe_at IS NULL))
    """,
    "CREATE INDEX webhooks_lane_failing ON webhooks (lane) WHERE failing_since IS NOT NULL AND deleted_at IS NULL",
    "DROP INDEX deliveries_due",
    # One entry for each pending delivery, as before: first attempts (0) and retries (1) of a webhook are two ranges of one index.
    # No boolean: the planner turns `NOT (failures > 0)` into `failures <= 0`, and finds no index for that.
    """
    CREATE INDEX deliveries_due ON deliveries (webhook_id, LEAST(failures, 1), next_attempt_at, id) WHERE status = 'pending'
    """,
)

_DOWN = (
    "DROP INDEX deliveries_due",
    "CREATE INDEX deliveries_due ON deliveries (webhook_id, next_attempt_at, id) WHERE status = 'pending'",
    "DROP INDEX webhooks_lane_failing",
    """
    ALTER TABLE webhooks
        DROP CONSTRAINT webhooks_breaker,
        DROP COLUMN failing_since,
        DROP COLUMN failures_in_a_row,
        DROP COLUMN breaker_opened_at,
        DROP COLUMN probe_at,
        DROP COLUMN probe_delay_seconds,
        DROP COLUMN recovered_at
    """,
)


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWN:
        op.execute(statement)
