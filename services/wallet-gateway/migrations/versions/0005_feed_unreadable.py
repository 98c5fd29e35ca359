"""A feed that cannot be read is a break.

A run that gets nowhere ends with it, instead of waiting without a word.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

_KINDS = "'missing_at_wallet', 'unknown_to_us', 'amount_differs', 'state_differs', 'feed_regressed'"


def upgrade() -> None:
    """Let breaks be of this kind."""
    _allow(f"{_KINDS}, 'feed_unreadable'")


def downgrade() -> None:
    """Remove the breaks of this kind, and allow no more."""
    op.execute(
        "DELETE FROM reconciliation_findings WHERE break_id IN"
        " (SELECT id FROM reconciliation_breaks WHERE kind = 'feed_unreadable')"
    )
    op.execute("DELETE FROM reconciliation_breaks WHERE kind = 'feed_unreadable'")
    _allow(_KINDS)


def _allow(kinds: str) -> None:
    op.execute("ALTER TABLE reconciliation_breaks DROP CONSTRAINT reconciliation_breaks_kind_check")
    op.execute(
        f"ALTER TABLE reconciliation_breaks ADD CONSTRAINT reconciliation_breaks_kind_check CHECK (kind IN ({kinds}))"
    )
