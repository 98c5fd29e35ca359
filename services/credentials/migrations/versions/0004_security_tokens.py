"""The security token of each tenant."""

from alembic import op

revision = "0004_security_tokens"
down_revision = "0003_scope_uses"

# One for each tenant. Tenants that are older get theirs from `credentials bootstrap`: sealing one needs the keys.
_TOKENS = """
CREATE TABLE security_tokens (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL UNIQUE REFERENCES tenants,
    environment text NOT NULL CHECK (environment = 'live'),
    sealed_token bytea NOT NULL
)
"""
# One row per text ever issued; a refresh adds one and gives the older an end.
_VERSIONS = """
CREATE TABLE security_token_versions (
    token_id uuid NOT NULL REFERENCES security_tokens ON DELETE CASCADE,
    number integer NOT NULL,
    pepper_id text NOT NULL,
    secret_hash bytea NOT NULL UNIQUE,
    prefix text NOT NULL,
    last_four text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    expires_at timestamptz,
    ends_at timestamptz,
    PRIMARY KEY (token_id, number)
)
"""
_LAST_USES = """
CREATE TABLE security_token_last_uses (
    token_id uuid NOT NULL,
    number integer NOT NULL,
    used_at timestamptz NOT NULL,
    ip inet,
    PRIMARY KEY (token_id, number),
    FOREIGN KEY (token_id, number) REFERENCES security_token_versions ON DELETE CASCADE
) WITH (fillfactor = 70)
"""


def upgrade() -> None:
    """Make the tables."""
    for statement in (_TOKENS, _VERSIONS, _LAST_USES):
        op.execute(statement)


def downgrade() -> None:
    """Drop them, what depends on another first."""
    for table in ("security_token_last_uses", "security_token_versions", "security_tokens"):
        op.execute(f"DROP TABLE {table}")
