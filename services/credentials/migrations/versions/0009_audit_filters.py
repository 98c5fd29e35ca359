"""What the audit log is filtered by: each finds its entries in the order of the chain."""

from alembic import op

revision = "0009_audit_filters"
down_revision = "0008_oauth"

_FILTERS = {
    "audit_entries_action": "chain_id, action, number DESC",
    "audit_entries_actor": "chain_id, actor_id, number DESC",
    "audit_entries_target": "chain_id, target_id, number DESC",
    "audit_entries_at": "chain_id, at",
}


def upgrade() -> None:
    """Make the indexes."""
    for name, columns in _FILTERS.items():
        op.execute(f"CREATE INDEX {name} ON audit_entries ({columns})")


def downgrade() -> None:
    """Drop them."""
    for name in _FILTERS:
        op.execute(f"DROP INDEX {name}")
