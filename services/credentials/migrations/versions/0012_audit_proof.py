"""Proof beside each entry's hash, under a key outside the database. Older entries have none: see ``verify-audit --vouch``."""

from alembic import op

revision = "0012_audit_proof"
down_revision = "0011_keys_by_tenant"


def upgrade() -> None:
    """Add the columns."""
    op.execute("ALTER TABLE audit_entries ADD COLUMN proof_key_id text, ADD COLUMN proof bytea")


def downgrade() -> None:
    """Remove them."""
    op.execute("ALTER TABLE audit_entries DROP COLUMN proof_key_id, DROP COLUMN proof")
