"""Kept answers of creating calls."""

from alembic import op

from shared.idempotency.repository import EXPIRY_DDL, TABLE_DDL

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.execute(TABLE_DDL)
    op.execute(EXPIRY_DDL)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE idempotency_keys")
