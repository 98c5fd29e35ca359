"""Every decision about a transfer is kept: a second review does not write over the first.

``transfers.decision`` stays, as the newest: it is what reconciliation goes by.
"""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Give decisions a table of their own, and move those there are."""
    op.execute(
        """
        CREATE TABLE transfer_decisions (
            transfer_id uuid NOT NULL REFERENCES transfers (id) ON DELETE CASCADE,
            number smallint NOT NULL CHECK (number > 0),
            decision text NOT NULL CHECK (decision IN ('completed', 'failed')),
            evidence text NOT NULL,
            decided_by text NOT NULL,
            decided_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (transfer_id, number)
        )
        """
    )
    op.execute(
        "INSERT INTO transfer_decisions SELECT id, 1, decision, decision_evidence, decided_by, decided_at FROM transfers"
        " WHERE decision IS NOT NULL"
    )
    op.execute("ALTER TABLE transfers DROP COLUMN decision_evidence, DROP COLUMN decided_by, DROP COLUMN decided_at")


def downgrade() -> None:
    """Keep the newest decision of each transfer, in its row."""
    op.execute(
        "ALTER TABLE transfers ADD COLUMN decision_evidence text, ADD COLUMN decided_by text,"
        " ADD COLUMN decided_at timestamptz"
    )
    op.execute(
        """
        UPDATE transfers t SET decision_evidence = d.evidence, decided_by = d.decided_by, decided_at = d.decided_at
        FROM (SELECT DISTINCT ON (transfer_id) * FROM transfer_decisions ORDER BY transfer_id, number DESC) d
        WHERE d.transfer_id = t.id
        """
    )
    op.execute("DROP TABLE transfer_decisions")
