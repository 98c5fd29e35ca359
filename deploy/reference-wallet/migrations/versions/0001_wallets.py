"""Wallet systems, their API keys, wallets, transfers and the gap-free feed."""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = (
    """
    CREATE TABLE systems (
        id           uuid PRIMARY KEY,
        name         text NOT NULL UNIQUE,
        holds        boolean NOT NULL,
        hold_seconds integer CHECK (hold_seconds > 0),
        latest_seq   bigint NOT NULL DEFAULT 0,
        created_at   timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE api_keys (
        id            uuid PRIMARY KEY,
        system_id     uuid NOT NULL REFERENCES systems (id) ON DELETE CASCADE,
        key_id        text NOT NULL UNIQUE,
        algorithm     text NOT NULL CHECK (algorithm IN ('hmac-sha256', 'ed25519')),
        sealed_secret bytea NOT NULL,
        public_key    text,
        response_public_key text,
        created_at    timestamptz NOT NULL DEFAULT now(),
        ends_at       timestamptz
    )
    """,
    """
    CREATE TABLE nonces (
        system_id  uuid NOT NULL REFERENCES systems (id) ON DELETE CASCADE,
        nonce      text NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (system_id, nonce)
    )
    """,
    "CREATE INDEX nonces_by_expiry ON nonces (expires_at)",
    # What no fault of the program may break stands in the constraints: a wallet never owes, and never holds what it has not.
    """
    CREATE TABLE wallets (
        system_id    uuid NOT NULL REFERENCES systems (id) ON DELETE CASCADE,
        wallet_id    text NOT NULL,
        owner_ref    text NOT NULL,
        currency     text NOT NULL,
        scale        smallint NOT NULL CHECK (scale BETWEEN 0 AND 8),
        ledger       numeric(26, 8) NOT NULL CHECK (ledger <= 999999999999999999.99999999),
        held         numeric(26, 8) NOT NULL DEFAULT 0 CHECK (held >= 0),
        frozen       boolean NOT NULL DEFAULT false,
        transfer_max numeric(26, 8),
        version      bigint NOT NULL DEFAULT 1,
        created_at   timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (system_id, wallet_id),
        CHECK (ledger >= held)
    )
    """,
    "CREATE INDEX wallets_by_owner ON wallets (system_id, owner_ref, wallet_id)",
    # An amount keeps the digits it was sent with, since the answer echoes them. A tombstone has no content at all.
    """
    CREATE TABLE transfers (
        system_id       uuid NOT NULL REFERENCES systems (id) ON DELETE CASCADE,
        transfer_id     text NOT NULL,
        op              text CHECK (op IN ('credit', 'debit')),
        mode            text CHECK (mode IN ('hold', 'direct')),
        wallet_id       text,
        owner_ref       text,
        amount          numeric,
        currency        text,
        not_after       timestamptz,
        reference       text,
        state           text NOT NULL CHECK (state IN ('new', 'held', 'committed', 'cancelled', 'rejected')),
        error_code      text,
        error_detail    text,
        wallet_txn_id   text,
        balance_after   text,
        hold_expires_at timestamptz,
        seq             bigint NOT NULL DEFAULT 0,
        created_at      timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (system_id, transfer_id),
        CHECK (num_nulls(op, mode, wallet_id, owner_ref, amount, currency, not_after) IN (0, 7))
    )
    """,
    "CREATE INDEX transfers_by_hold_end ON transfers (hold_expires_at) WHERE state = 'held' AND hold_expires_at IS NOT NULL",
    # One row per change of state; the sums of the deltas are the balances, which is also how a backup is restored to a seq.
    """
    CREATE TABLE feed (
        system_id    uuid NOT NULL REFERENCES systems (id) ON DELETE CASCADE,
        seq          bigint NOT NULL,
        transfer_id  text NOT NULL,
        answer       json NOT NULL,
        wallet_id    text,
        ledger_delta numeric NOT NULL,
        held_delta   numeric NOT NULL,
        at           timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (system_id, seq)
    )
    """,
    """
    CREATE TABLE fault_rules (
        id        uuid PRIMARY KEY,
        system_id uuid NOT NULL REFERENCES systems (id) ON DELETE CASCADE,
        rule      json NOT NULL
    )
    """,
)
_NAMES = ("fault_rules", "feed", "transfers", "wallets", "nonces", "api_keys", "systems")


def upgrade() -> None:
    """Make the tables."""
    for table in _TABLES:
        op.execute(table)


def downgrade() -> None:
    """Drop them."""
    for name in _NAMES:
        op.execute(f"DROP TABLE {name}")
