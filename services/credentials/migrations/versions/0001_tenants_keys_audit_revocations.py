"""Tenants, API keys, the audit log and the revocation feed."""

from alembic import op

from shared.idempotency.repository import EXPIRY_DDL, TABLE_DDL

revision = "0001"
down_revision = None

_TENANTS = """
CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    created_at timestamptz NOT NULL
)
"""

# A service key belongs to no tenant. Roles are kept by name and resolved when a key is verified.
_API_KEYS = """
CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    tenant_id uuid REFERENCES tenants,
    environment text NOT NULL CHECK (environment IN ('live', 'test')),
    kind text NOT NULL CHECK (kind IN ('secret', 'public', 'service')),
    name text NOT NULL,
    scopes text[] NOT NULL,
    roles text[] NOT NULL,
    allowed_cidrs text[] NOT NULL,
    metadata jsonb NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    CHECK ((kind = 'service') = (tenant_id IS NULL))
)
"""
_API_KEYS_BY_REALM = "CREATE INDEX api_keys_realm ON api_keys (tenant_id, environment, id DESC)"

# One row per key text ever issued; rotation adds one and gives the older an end.
_VERSIONS = """
CREATE TABLE api_key_versions (
    key_id uuid NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    number integer NOT NULL,
    pepper_id text NOT NULL,
    secret_hash bytea NOT NULL UNIQUE,
    prefix text NOT NULL,
    last_four text NOT NULL,
    created_at timestamptz NOT NULL,
    ends_at timestamptz,
    PRIMARY KEY (key_id, number)
)
"""

# Narrow, and with room on each page, since it is the one table that is updated all the time.
_LAST_USES = """
CREATE TABLE api_key_last_uses (
    key_id uuid NOT NULL,
    number integer NOT NULL,
    used_at timestamptz NOT NULL,
    ip inet,
    PRIMARY KEY (key_id, number),
    FOREIGN KEY (key_id, number) REFERENCES api_key_versions ON DELETE CASCADE
) WITH (fillfactor = 70)
"""

# One chain per tenant; chain_id is the nil UUID for the platform's own. `changes` is text: the hash covers its exact bytes.
_AUDIT_ENTRIES = """
CREATE TABLE audit_entries (
    id uuid PRIMARY KEY,
    chain_id uuid NOT NULL,
    number bigint NOT NULL,
    environment text,
    at timestamptz NOT NULL,
    action text NOT NULL,
    actor_kind text NOT NULL,
    actor_id text NOT NULL,
    target_kind text NOT NULL,
    target_id text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('allowed', 'denied')),
    reason text,
    request_id text,
    ip inet,
    changes text NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    UNIQUE (chain_id, number)
)
"""
_AUDIT_HEADS = """
CREATE TABLE audit_heads (
    chain_id uuid PRIMARY KEY,
    number bigint NOT NULL,
    hash bytea NOT NULL
)
"""

# The single row is locked by whoever takes a number until it commits: numbers become visible in their order.
_REVOCATION_SEQUENCE = """
CREATE TABLE revocation_sequence (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    value bigint NOT NULL
)
"""
_REVOCATIONS = """
CREATE TABLE revocations (
    sequence bigint PRIMARY KEY,
    target_kind text NOT NULL CHECK (target_kind IN ('credential', 'tenant')),
    target_id uuid NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
)
"""


def upgrade() -> None:
    """Make the tables."""
    for statement in (
        _TENANTS,
        _API_KEYS,
        _API_KEYS_BY_REALM,
        _VERSIONS,
        _LAST_USES,
        _AUDIT_ENTRIES,
        _AUDIT_HEADS,
        _REVOCATION_SEQUENCE,
        "INSERT INTO revocation_sequence (value) VALUES (0)",
        _REVOCATIONS,
        TABLE_DDL,
        EXPIRY_DDL,
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop them, what depends on another first."""
    for table in (
        "idempotency_keys",
        "revocations",
        "revocation_sequence",
        "audit_heads",
        "audit_entries",
        "api_key_last_uses",
        "api_key_versions",
        "api_keys",
        "tenants",
    ):
        op.execute(f"DROP TABLE {table}")
