"""OAuth 2.0: signing keys, revoked access tokens, and their place in the revocation feed."""

from alembic import op

revision = "0008_oauth"
down_revision = "0006_leaked_key_reports"

# One key signs, the next is published before it does, and the ones before it stay published while their tokens live.
_SIGNING_KEYS = """
CREATE TABLE oauth_signing_keys (
    id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('next', 'active', 'previous')),
    public_jwk text NOT NULL,
    sealed_private_key bytea,
    created_at timestamptz NOT NULL,
    activated_at timestamptz,
    retired_at timestamptz,
    CHECK ((state = 'previous') = (retired_at IS NOT NULL)),
    CHECK ((state = 'previous') = (sealed_private_key IS NULL))
)
"""
_ONE_OF_EACH = "CREATE UNIQUE INDEX oauth_signing_keys_state ON oauth_signing_keys (state) WHERE state <> 'previous'"

# Kept until the token would have ended anyway.
_REVOKED_TOKENS = "CREATE TABLE oauth_revoked_tokens (token_id uuid PRIMARY KEY, ends_at timestamptz NOT NULL)"
_REVOKED_TOKENS_END = "CREATE INDEX oauth_revoked_tokens_end ON oauth_revoked_tokens (ends_at)"

_KINDS = """
ALTER TABLE revocations DROP CONSTRAINT revocations_target_kind_check,
    ADD CONSTRAINT revocations_target_kind_check CHECK (target_kind IN ({}))
"""


def upgrade() -> None:
    """Make the tables."""
    for statement in (
        _SIGNING_KEYS,
        _ONE_OF_EACH,
        _REVOKED_TOKENS,
        _REVOKED_TOKENS_END,
        _KINDS.format("'credential', 'tenant', 'token', 'signing_key'"),
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop them; the feed keeps its rows, since its sequence has no gaps."""
    for statement in (
        "UPDATE revocations SET target_kind = 'credential' WHERE target_kind IN ('token', 'signing_key')",
        _KINDS.format("'credential', 'tenant'"),
        "DROP TABLE oauth_revoked_tokens",
        "DROP TABLE oauth_signing_keys",
    ):
        op.execute(statement)
