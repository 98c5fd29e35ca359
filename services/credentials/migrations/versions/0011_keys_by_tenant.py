"""A tenant's keys of both environments, newest first, as a live credential lists them."""

from alembic import op

revision = "0011_keys_by_tenant"
down_revision = "0010_legacy_signatures"


def upgrade() -> None:
    """Add the index."""
    op.execute("CREATE INDEX api_keys_tenant ON api_keys (tenant_id, id DESC)")


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP INDEX api_keys_tenant")
