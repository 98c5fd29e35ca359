"""Transfers, their steps and attempts, the journal, the outbox, and the workers that carry transfers out.

What must never happen is refused here as well: a transfer under way that nobody will look at again, two steps of a kind, two
postings of a movement, a journal that changes.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

_TRANSFERS = (
    # Wallets are never removed while they are named here, only marked; whoever begins a transfer holds them meanwhile.
    """
    CREATE TABLE transfers (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        idempotency_key text NOT NULL,
        fingerprint bytea NOT NULL,
        first_answer bytea,
        owner_ref text NOT NULL,
        source_wallet_id uuid NOT NULL,
        source_is_home boolean NOT NULL,
        source_account text NOT NULL,
        target_wallet_id uuid NOT NULL,
        target_is_home boolean NOT NULL,
        target_account text NOT NULL,
        amount numeric NOT NULL CHECK (amount > 0 AND scale(amount) <= 8),
        currency text NOT NULL,
        reference text,
        metadata jsonb NOT NULL DEFAULT '{}',
        shape text CHECK (shape IN ('hold_credit_commit', 'hold_commit_credit', 'debit_credit')),
        status text NOT NULL DEFAULT 'pending'
            CHECK (status IN ('pending', 'completed', 'failed', 'reversed', 'manual_review')),
        outcome_unknown boolean NOT NULL DEFAULT false,
        failure_code text,
        failure_detail text,
        decision text CHECK (decision IN ('completed', 'failed')),
        decision_evidence text,
        decided_by text,
        decided_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now(),
        ended_at timestamptz,
        due_at timestamptz DEFAULT now(),
        worker_id uuid,
        fence bigint NOT NULL DEFAULT 0,
        revision bigint NOT NULL DEFAULT 0,
        UNIQUE (tenant_id, environment, idempotency_key),
        CHECK (source_wallet_id <> target_wallet_id),
        CHECK ((status = 'pending') = (due_at IS NOT NULL))
    ) WITH (fillfactor = 60)
    """,
    "CREATE INDEX transfers_realm ON transfers (tenant_id, environment, id)",
    "CREATE INDEX transfers_due ON transfers (due_at) WHERE status = 'pending'",
    """
    CREATE INDEX transfers_open_source ON transfers (source_wallet_id) WHERE status IN ('pending', 'manual_review')
    """,
    """
    CREATE INDEX transfers_open_target ON transfers (target_wallet_id) WHERE status IN ('pending', 'manual_review')
    """,
    # ``endpoint`` is where the step is made and resolved, also when the wallet's settings have been changed since; the keys are
    # those the wallet has at the time of a call.
    """
    CREATE TABLE transfer_steps (
        transfer_id uuid NOT NULL REFERENCES transfers (id),
        number smallint NOT NULL,
        kind text NOT NULL CHECK (kind IN ('hold', 'debit', 'commit', 'credit', 'release', 'refund')),
        mode text NOT NULL CHECK (mode IN ('fence', 'persist', 'once')),
        wallet_id uuid NOT NULL,
        endpoint jsonb NOT NULL,
        begun_at timestamptz NOT NULL,
        not_after timestamptz NOT NULL,
        outcome text CHECK (outcome IN ('applied', 'not_applied')),
        hold_ends boolean NOT NULL DEFAULT false,
        failure_code text,
        failure_detail text,
        wallet_txn_id text,
        ended_at timestamptz,
        PRIMARY KEY (transfer_id, number),
        UNIQUE (transfer_id, kind),
        CHECK ((outcome IS NULL) = (ended_at IS NULL))
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX transfer_steps_wallet ON transfer_steps (wallet_id, begun_at)",
    # Written before the call is made. Without an outcome: under way, or its worker went down.
    """
    CREATE TABLE step_attempts (
        transfer_id uuid NOT NULL,
        step smallint NOT NULL,
        number integer NOT NULL,
        call text NOT NULL CHECK (call IN ('put', 'commit', 'cancel', 'get')),
        fence bigint NOT NULL,
        intended_at timestamptz NOT NULL,
        outcome text CHECK (outcome IN ('not_sent', 'definitive', 'echo_mismatch', 'not_found', 'unknown')),
        code text,
        wallet_state text,
        started_at timestamptz,
        duration_ms real,
        response_status smallint,
        request_digest text,
        response_digest text,
        signature_verified boolean,
        clock_skew_seconds real,
        PRIMARY KEY (transfer_id, step, number),
        FOREIGN KEY (transfer_id, step) REFERENCES transfer_steps (transfer_id, number)
    ) WITH (fillfactor = 60)
    """,
    """
    CREATE TABLE transfer_workers (
        id uuid PRIMARY KEY,
        name text NOT NULL,
        expires_at timestamptz NOT NULL
    )
    """,
)
_JOURNAL = (
    # One row is one posting between a wallet and the clearing account of the transfer's source wallet, in one currency: what is
    # taken out of one account is in the other, and the whole sums to zero however it is written.
    """
    CREATE TABLE journal (
        transfer_id uuid NOT NULL REFERENCES transfers (id),
        movement text NOT NULL CHECK (movement IN ('debit', 'credit', 'refund', 'credit_undone')),
        tenant_id uuid NOT NULL,
        environment text NOT NULL,
        wallet_id uuid NOT NULL,
        clearing_wallet_id uuid NOT NULL,
        currency text NOT NULL,
        amount numeric NOT NULL CHECK (amount > 0),
        basis text NOT NULL CHECK (basis IN ('wallet', 'decision')),
        wallet_txn_id text,
        posted_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (transfer_id, movement)
    )
    """,
    "CREATE INDEX journal_clearing ON journal (tenant_id, environment, clearing_wallet_id, currency)",
    """
    CREATE VIEW journal_entries AS
    SELECT transfer_id, movement, tenant_id, environment, account, entry.wallet_id, currency, entry.amount, basis, posted_at
    FROM journal CROSS JOIN LATERAL (
        VALUES
            ('wallet', wallet_id, CASE WHEN movement IN ('debit', 'credit_undone') THEN -amount ELSE amount END),
            ('clearing', clearing_wallet_id, CASE WHEN movement IN ('debit', 'credit_undone') THEN amount ELSE -amount END)
    ) AS entry (account, wallet_id, amount)
    """,
    """
    CREATE FUNCTION refuse_change_of_journal() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the journal is append-only' USING ERRCODE = 'restrict_violation';
    END
    $$
    """,
    """
    CREATE TRIGGER journal_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_journal()
    """,
)
_OUTBOX = (
    # Events on their way to the dispatcher, deleted once it has them. Those of one ``ordering_key`` leave in the order of ``id``.
    """
    CREATE TABLE outbox (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        environment text NOT NULL,
        event_id text NOT NULL UNIQUE,
        ordering_key text NOT NULL,
        body bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        due_at timestamptz NOT NULL DEFAULT now(),
        attempts integer NOT NULL DEFAULT 0,
        last_error text
    )
    """,
    "CREATE INDEX outbox_due ON outbox (due_at)",
    "CREATE INDEX outbox_ordering_key ON outbox (ordering_key, id)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in (*_TRANSFERS, *_JOURNAL, *_OUTBOX):
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE outbox")
    op.execute("DROP VIEW journal_entries")
    op.execute("DROP TABLE journal, step_attempts, transfer_steps, transfer_workers, transfers")
    op.execute("DROP FUNCTION refuse_change_of_journal()")
