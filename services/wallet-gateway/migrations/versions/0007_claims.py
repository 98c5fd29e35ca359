"""Claims look at what is free and at what dead workers left, each by an index of its own.

A transfer that a living worker carries out is in the second index alone, and its records change nothing that is indexed.
"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Split the index of what is due; whoever holds a transfer is known, so that none is left to a worker without a row."""
    op.execute("DROP INDEX transfers_due")
    op.execute("CREATE INDEX transfers_due ON transfers (due_at) WHERE status = 'pending' AND worker_id IS NULL")
    op.execute("CREATE INDEX transfers_claimed ON transfers (worker_id) WHERE worker_id IS NOT NULL")
    op.execute(
        "UPDATE transfers t SET worker_id = NULL WHERE worker_id IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM transfer_workers w WHERE w.id = t.worker_id)"
    )
    op.execute(
        "ALTER TABLE transfers ADD CONSTRAINT transfers_worker FOREIGN KEY (worker_id) REFERENCES transfer_workers (id)"
    )


def downgrade() -> None:
    """Have one index of all that is due."""
    op.execute("ALTER TABLE transfers DROP CONSTRAINT transfers_worker")
    op.execute("DROP INDEX transfers_claimed")
    op.execute("DROP INDEX transfers_due")
    op.execute("CREATE INDEX transfers_due ON transfers (due_at) WHERE status = 'pending'")
