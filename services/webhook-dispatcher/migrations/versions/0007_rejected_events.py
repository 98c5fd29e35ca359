"""What could not be accepted from a queue, kept beside the rejected stream: found by its tenant, and replayable.

``tenant_id`` and ``environment`` are null where the entry does not say them in a readable way. ``fingerprint`` makes an entry
that is read twice one row.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE rejected_events (
            id uuid PRIMARY KEY,
            fingerprint bytea NOT NULL UNIQUE,
            tenant_id uuid,
            environment text,
            source text NOT NULL,
            entry_id text NOT NULL,
            reason text NOT NULL,
            detail text NOT NULL,
            event_id text,
            type text,
            default_event_id text NOT NULL,
            body bytea NOT NULL,
            size_bytes integer NOT NULL,
            complete boolean NOT NULL,
            rejected_at timestamptz NOT NULL DEFAULT now(),
            replayed_at timestamptz,
            replayed_by text,
            replayed_event_id text
        )
        """
    )
    op.execute("CREATE INDEX rejected_events_realm ON rejected_events (tenant_id, environment, id)")


def downgrade() -> None:
    op.execute("DROP TABLE rejected_events")
