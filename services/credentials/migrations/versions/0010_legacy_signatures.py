"""The tenant's switch for calls signed the older way."""

from alembic import op

revision = "0010_legacy_signatures"
down_revision = "0009_audit_filters"


def upgrade() -> None:
    """Add it, switched off."""
    op.execute("ALTER TABLE tenants ADD COLUMN legacy_signatures boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    """Remove it."""
    op.execute("ALTER TABLE tenants DROP COLUMN legacy_signatures")
