"""Reports of leaked keys that wait to be dealt with."""

from alembic import op

revision = "0006_leaked_key_reports"
down_revision = "0005_key_pairs"

# Nearly always empty. `hashes` are those that the reported text has under each active pepper.
_REPORTS = """
CREATE TABLE leaked_key_reports (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    hashes bytea[] NOT NULL,
    ip inet,
    request_id text NOT NULL,
    reported_at timestamptz NOT NULL
)
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_REPORTS)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE leaked_key_reports")
