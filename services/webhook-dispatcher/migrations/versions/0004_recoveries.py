"""Recoveries, redacted payloads, and the indexes by which history and what is outstanding are read within limits.

A row of ``recoveries`` is the whole truth about one: ``position`` moves in the transaction that moves its deliveries, so a worker
that takes over goes on exactly there. ``delivery_history`` gets two indexes of what was not delivered, which is little and is
what people look for; ``deliveries_webhook`` gives a webhook's outstanding deliveries in the order of their ids.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE recoveries (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        environment text NOT NULL,
        webhook_id uuid NOT NULL,
        status text NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'cancelled')),
        reason text,
        since timestamptz NOT NULL,
        until timestamptz NOT NULL,
        statuses text[] NOT NULL,
        event_types text[],
        matched integer NOT NULL,
        matched_is_minimum boolean NOT NULL,
        resent integer NOT NULL DEFAULT 0,
        skipped integer NOT NULL DEFAULT 0,
        position uuid NOT NULL,
        next_step_at timestamptz NOT NULL DEFAULT now(),
        created_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL,
        finished_at timestamptz
    )
    """,
    "CREATE INDEX recoveries_realm ON recoveries (tenant_id, environment, id)",
    "CREATE INDEX recoveries_active ON recoveries (webhook_id, id) WHERE status IN ('pending', 'running')",
    "ALTER TABLE events ADD COLUMN redacted_at timestamptz",
    "CREATE INDEX deliveries_webhook ON deliveries (webhook_id, id)",
    "CREATE INDEX delivery_history_undelivered ON delivery_history (webhook_id, id) WHERE status <> 'delivered'",
    """
    CREATE INDEX delivery_history_realm_undelivered ON delivery_history (tenant_id, environment, id)
    WHERE status <> 'delivered'
    """,
)

_DOWN = (
    "DROP INDEX delivery_history_realm_undelivered, delivery_history_undelivered, deliveries_webhook",
    "ALTER TABLE events DROP COLUMN redacted_at",
    "DROP TABLE recoveries",
)


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWN:
        op.execute(statement)
