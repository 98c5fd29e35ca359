"""Which scopes each key has exercised."""

from alembic import op

revision = "0003_scope_uses"
down_revision = "0002_roles"

# Written once per key and scope, ever.
_SCOPE_USES = """
CREATE TABLE api_key_scope_uses (
    key_id uuid NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    scope text NOT NULL,
    first_used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key_id, scope)
)
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_SCOPE_USES)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE api_key_scope_uses")
