"""Reconciliation: what wallets' feeds said, runs, and the breaks they found.

``feed_states`` holds the newest state of each transfer in a wallet's feed; with ``feed_positions`` a run reads only what is new.
A break is one row however many runs find it: ``reconciliation_findings`` says which did.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

_UP = (
    # ``baseline_seq``: what the feed held at the first scheduled look, and is not held against the wallet by those that follow.
    """
    CREATE TABLE feed_positions (
        wallet_id uuid PRIMARY KEY REFERENCES external_wallets (id),
        seq bigint NOT NULL,
        step_id text,
        state text,
        baseline_seq bigint,
        checked_to timestamptz NOT NULL DEFAULT 'epoch',
        next_run_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE feed_states (
        wallet_id uuid NOT NULL,
        step_id text NOT NULL,
        transfer_id uuid,
        leg text,
        seq bigint NOT NULL,
        state text NOT NULL,
        op text,
        amount numeric,
        currency text,
        wallet_txn_id text,
        read_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (wallet_id, step_id)
    )
    """,
    "CREATE INDEX feed_states_transfer ON feed_states (wallet_id, transfer_id)",
    "CREATE INDEX feed_states_read_at ON feed_states (wallet_id, read_at)",
    """
    CREATE TABLE reconciliations (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        wallet_id uuid NOT NULL REFERENCES external_wallets (id),
        is_scheduled boolean NOT NULL,
        from_at timestamptz NOT NULL,
        to_at timestamptz NOT NULL,
        status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'clean', 'breaks')),
        steps_compared bigint NOT NULL DEFAULT 0,
        waits_for text,
        created_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL,
        finished_at timestamptz,
        due_at timestamptz DEFAULT now(),
        attempts integer NOT NULL DEFAULT 0,
        CHECK ((status = 'running') = (due_at IS NOT NULL)),
        CHECK ((status = 'running') = (finished_at IS NULL))
    )
    """,
    "CREATE INDEX reconciliations_realm ON reconciliations (tenant_id, environment, id)",
    "CREATE INDEX reconciliations_due ON reconciliations (due_at) WHERE status = 'running'",
    "CREATE INDEX reconciliations_wallet ON reconciliations (wallet_id) WHERE status = 'running'",
    """
    CREATE TABLE reconciliation_breaks (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        environment text NOT NULL,
        wallet_id uuid NOT NULL,
        kind text NOT NULL CHECK (
            kind IN ('missing_at_wallet', 'unknown_to_us', 'amount_differs', 'state_differs', 'feed_regressed')
        ),
        step_id text,
        wallet_txn_id text,
        ours jsonb,
        theirs jsonb,
        fingerprint bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        resolved_at timestamptz,
        resolved_by text,
        evidence text,
        UNIQUE (wallet_id, fingerprint)
    )
    """,
    """
    CREATE TABLE reconciliation_findings (
        reconciliation_id uuid NOT NULL REFERENCES reconciliations (id) ON DELETE CASCADE,
        break_id uuid NOT NULL REFERENCES reconciliation_breaks (id),
        PRIMARY KEY (reconciliation_id, break_id)
    )
    """,
    "CREATE INDEX reconciliation_findings_break ON reconciliation_findings (break_id)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute(
        "DROP TABLE reconciliation_findings, reconciliation_breaks, reconciliations, feed_states, feed_positions"
    )
