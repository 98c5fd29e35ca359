"""External wallets and the home wallet, their keys, their breakers, and audit entries.

The home wallet is a row like any other, marked; a realm has one. A deleted wallet keeps its row, which transfers and
reconciliations name; its keys go. ``capabilities`` is the wallet's well-known document as it was read last.
"""

from alembic import op

from shared.audit_entries.repository import REALM_DDL, TABLE_DDL

revision = "0002"
down_revision = "0001"

_UP = (
    """
    CREATE TABLE external_wallets (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        is_home boolean NOT NULL,
        name text NOT NULL,
        base_url text NOT NULL,
        protocol text NOT NULL CHECK (protocol IN ('ewp/1', 'crm-v1')),
        response_signatures text NOT NULL CHECK (response_signatures IN ('required', 'optional')),
        transfer_call jsonb,
        timeout_seconds smallint NOT NULL,
        balance_cache_seconds smallint NOT NULL,
        step_seconds smallint NOT NULL,
        metadata jsonb NOT NULL DEFAULT '{}',
        enabled boolean NOT NULL DEFAULT true,
        disabled_at timestamptz,
        frozen boolean NOT NULL DEFAULT false,
        frozen_reason text,
        frozen_at timestamptz,
        capabilities jsonb,
        capabilities_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now(),
        deleted_at timestamptz,
        CHECK (frozen = (frozen_reason IS NOT NULL))
    )
    """,
    "CREATE INDEX external_wallets_realm ON external_wallets (tenant_id, environment, id)",
    """
    CREATE UNIQUE INDEX external_wallets_home ON external_wallets (tenant_id, environment)
        WHERE is_home AND deleted_at IS NULL
    """,
    # Every key that has not ended signs; the newest one is the wallet's.
    """
    CREATE TABLE wallet_keys (
        id uuid PRIMARY KEY,
        wallet_id uuid NOT NULL REFERENCES external_wallets (id),
        sealed_secret bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz
    )
    """,
    "CREATE INDEX wallet_keys_wallet ON wallet_keys (wallet_id, id)",
    # What one process learned of a wallet, for the others; written when a breaker opens or closes, lost without harm.
    """
    CREATE TABLE wallet_breakers (
        wallet_id uuid PRIMARY KEY REFERENCES external_wallets (id),
        open_until timestamptz NOT NULL
    )
    """,
    TABLE_DDL,
    REALM_DDL,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE audit_entries, wallet_breakers, wallet_keys, external_wallets")
