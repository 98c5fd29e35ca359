"""The one query of a verification: the key behind a hash with its grants, its tenant's state, and the snapshot's sequence."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from credentials.verification.judgement import StoredKey
from shared.access.jwt import AccessToken
from shared.key_format import Kind

# One statement is one snapshot: the sequence says which revocations the rest has already taken into account.
_KEY = """
SELECT s.value AS sequence, v.number AS version, v.pepper_id, extract(epoch FROM v.ends_at)::float8 AS version_ends_at,
       k.id AS key_id, k.tenant_id, k.kind, k.environment, k.name, k.scopes, k.roles, k.allowed_cidrs,
       k.revoked_at IS NOT NULL AS revoked, extract(epoch FROM k.expires_at)::float8 AS expires_at,
       coalesce(t.status = 'suspended', false) AS tenant_suspended,
       coalesce(t.legacy_signatures, false) AS legacy_signatures,
       ARRAY(SELECT unnest(r.scopes) FROM roles r
             WHERE r.tenant_id = k.tenant_id AND r.environment = k.environment AND r.name = ANY(k.roles)) AS own_role_scopes{}
FROM revocation_sequence s
LEFT JOIN (api_key_versions v JOIN api_keys k ON k.id = v.key_id LEFT JOIN tenants t ON t.id = k.tenant_id)
    ON {}
"""
_FIND = text(_KEY.format("", "v.secret_hash = ANY(CAST(:hashes AS bytea[]))"))

# The same by what an access token names.
_IS_REVOKED = """,
       EXISTS (SELECT FROM oauth_revoked_tokens WHERE token_id = :token_id)
       OR NOT EXISTS (SELECT FROM oauth_signing_keys WHERE id = :signing_key_id) AS token_revoked"""
_FIND_FOR_ACCESS_TOKEN = text(_KEY.format(_IS_REVOKED, "v.key_id = :key_id AND v.number = :version"))

# The same for a security token, which the kind in its text tells apart: one query either way.
_FIND_TOKEN = text("""
SELECT s.value AS sequence, v.number AS version, v.pepper_id, extract(epoch FROM v.ends_at)::float8 AS version_ends_at,
       k.id AS key_id, k.tenant_id, 'security_token' AS kind, k.environment, 'Security token' AS name,
       CAST('{}' AS text[]) AS scopes, CAST('{integration}' AS text[]) AS roles, CAST('{}' AS text[]) AS allowed_cidrs,
       false AS revoked, extract(epoch FROM v.expires_at)::float8 AS expires_at,
       coalesce(t.status = 'suspended', false) AS tenant_suspended,
       coalesce(t.legacy_signatures, false) AS legacy_signatures, CAST('{}' AS text[]) AS own_role_scopes
FROM revocation_sequence s
LEFT JOIN (security_token_versions v JOIN security_tokens k ON k.id = v.token_id JOIN tenants t ON t.id = k.tenant_id)
    ON v.secret_hash = ANY(CAST(:hashes AS bytea[]))
""")


async def find(connection: AsyncConnection, *, hashes: Sequence[bytes], kind: Kind) -> tuple[StoredKey | None, int]:
    """Return the credential of this kind stored under any of the hashes, and the sequence at which this was read."""
    statement = _FIND_TOKEN if kind == "security_token" else _FIND
    return _found((await connection.execute(statement, {"hashes": list(hashes)})).one())


async def find_for_access_token(connection: AsyncConnection, token: AccessToken) -> tuple[StoredKey | None, int]:
    """Return the key version that a genuine token was given for, and the sequence at which this was read."""
    named = {
        "key_id": token.key_id,
        "version": token.key_version,
        "token_id": token.token_id,
        "signing_key_id": token.signing_key_id,
    }
    row = (await connection.execute(_FIND_FOR_ACCESS_TOKEN, named)).one()
    key, sequence = _found(row)
    return (None if key is None else replace(key, token_revoked=row.token_revoked)), sequence


def _found(row: Row[Any]) -> tuple[StoredKey | None, int]:
    if row.key_id is None:
        return None, row.sequence
    key = StoredKey(
        key_id=row.key_id,
        version=row.version,
        tenant_id=row.tenant_id,
        tenant_suspended=row.tenant_suspended,
        legacy_signatures=row.legacy_signatures,
        kind=row.kind,
        environment=row.environment,
        name=row.name,
        scopes=tuple(row.scopes),
        roles=tuple(row.roles),
        own_role_scopes=tuple(row.own_role_scopes),
        allowed_networks=tuple(ip_network(cidr) for cidr in row.allowed_cidrs),
        revoked=row.revoked,
        expires_at=row.expires_at,
        version_ends_at=row.version_ends_at,
        pepper_id=row.pepper_id,
    )
    return key, row.sequence
