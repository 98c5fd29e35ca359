"""A webhook may have ed25519 keys beside its secrets: sealed like them, with the public half in clear for its owner."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE webhook_secrets
            ADD COLUMN kind text NOT NULL DEFAULT 'hmac' CHECK (kind IN ('hmac', 'ed25519')),
            ADD COLUMN public_key text CHECK ((public_key IS NULL) = (kind = 'hmac'))
        """
    )


def downgrade() -> None:
    op.execute("DELETE FROM webhook_secrets WHERE kind = 'ed25519'")
    op.execute("ALTER TABLE webhook_secrets DROP COLUMN public_key, DROP COLUMN kind")
