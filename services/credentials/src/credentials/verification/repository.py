"""The one query of a verification: the key behind a hash with its grants, its tenant's state, and the snapshot's sequence."""

from collections.abc import Sequence
from ipaddress import ip_network

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from credentials.verification.judgement import StoredKey

# One statement is one snapshot: the sequence says which revocations the rest has already taken into account.
_FIND = text("""
SELECT s.value AS sequence, v.number AS version, v.pepper_id, extract(epoch FROM v.ends_at)::float8 AS version_ends_at,
       k.id AS key_id, k.tenant_id, k.kind, k.environment, k.name, k.scopes, k.roles, k.allowed_cidrs,
       k.revoked_at IS NOT NULL AS revoked, extract(epoch FROM k.expires_at)::float8 AS expires_at,
       coalesce(t.status = 'suspended', false) AS tenant_suspended,
       ARRAY(SELECT unnest(r.scopes) FROM roles r
             WHERE r.tenant_id = k.tenant_id AND r.environment = k.environment AND r.name = ANY(k.roles)) AS own_role_scopes
FROM revocation_sequence s
LEFT JOIN (api_key_versions v JOIN api_keys k ON k.id = v.key_id LEFT JOIN tenants t ON t.id = k.tenant_id)
    ON v.secret_hash = ANY(CAST(:hashes AS bytea[]))
""")


async def find(connection: AsyncConnection, *, hashes: Sequence[bytes]) -> tuple[StoredKey | None, int]:
    """Return the key stored under any of the hashes, and the sequence at which this was read."""
    row = (await connection.execute(_FIND, {"hashes": list(hashes)})).one()
    if row.key_id is None:
        return None, row.sequence
    key = StoredKey(
        key_id=row.key_id,
        version=row.version,
        tenant_id=row.tenant_id,
        tenant_suspended=row.tenant_suspended,
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
