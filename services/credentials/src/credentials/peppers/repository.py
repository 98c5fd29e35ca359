"""SQL about which pepper the key hashes stand under."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import CursorResult, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from credentials.verification.key_hashing import HashedKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehash:
    """A version's hash under the newest pepper, and the pepper it stood under."""

    hashed: HashedKey
    replaces: str


# Whoever comes second finds another pepper there and changes nothing. Locked in order, so that two processes do not cross.
_REHASH = text("""
WITH moved AS (
    SELECT v.key_id, v.number, new.pepper_id, new.secret_hash
    FROM unnest(CAST(:key_ids AS uuid[]), CAST(:numbers AS integer[]), CAST(:replaces AS text[]),
                CAST(:pepper_ids AS text[]), CAST(:hashes AS bytea[]))
        AS new (key_id, number, replaces, pepper_id, secret_hash)
    JOIN api_key_versions v ON v.key_id = new.key_id AND v.number = new.number AND v.pepper_id = new.replaces
    ORDER BY v.key_id, v.number FOR UPDATE OF v
)
UPDATE api_key_versions v SET pepper_id = moved.pepper_id, secret_hash = moved.secret_hash
FROM moved WHERE v.key_id = moved.key_id AND v.number = moved.number
""")


async def rehash(connection: AsyncConnection, rehashes: Mapping[tuple[UUID, int], Rehash]) -> None:
    """Store new hashes by (key id, version number) in one statement."""
    await connection.execute(
        _REHASH,
        {
            "key_ids": [key_id for key_id, _ in rehashes],
            "numbers": [number for _, number in rehashes],
            "replaces": [new.replaces for new in rehashes.values()],
            "pepper_ids": [new.hashed.pepper_id for new in rehashes.values()],
            "hashes": [new.hashed.secret_hash for new in rehashes.values()],
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How many texts stand under a pepper: those that are valid, and all."""

    pepper_id: str
    live: int
    all: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveVersion:
    """A valid text that stands under a pepper, and whose it is."""

    kind: Literal["api_key", "security_token"]
    id: UUID
    tenant_id: UUID | None
    environment: str
    number: int


_VERSIONS = """
SELECT 'api_key' AS kind, k.id, k.tenant_id, k.environment, v.number, v.pepper_id,
       k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true) AND coalesce(v.ends_at > now(), true) AS is_live
FROM api_key_versions v JOIN api_keys k ON k.id = v.key_id
UNION ALL
SELECT 'security_token', t.id, t.tenant_id, t.environment, v.number, v.pepper_id,
       coalesce(v.expires_at > now(), true) AND coalesce(v.ends_at > now(), true)
FROM security_token_versions v JOIN security_tokens t ON t.id = v.token_id
"""
_STANDINGS = text(
    f"SELECT pepper_id, count(*) FILTER (WHERE is_live) AS live, count(*) AS all FROM ({_VERSIONS}) v"  # noqa: S608 - our own text
    " GROUP BY pepper_id ORDER BY pepper_id"
)
_LIVE = text(
    f"SELECT kind, id, tenant_id, environment, number FROM ({_VERSIONS}) v"  # noqa: S608 - our own text
    " WHERE is_live AND pepper_id = :pepper_id ORDER BY id, number LIMIT :limit"
)
_END: Mapping[str, TextClause] = {
    "api_key": text(
        "UPDATE api_key_versions SET ends_at = now()"
        " WHERE key_id = :id AND number = :number AND coalesce(ends_at > now(), true)"
    ),
    "security_token": text(
        "UPDATE security_token_versions SET ends_at = now()"
        " WHERE token_id = :id AND number = :number AND coalesce(ends_at > now(), true)"
    ),
}


async def standings(session: AsyncSession) -> Sequence[Standing]:
    """Return how many texts of keys and security tokens stand under each pepper."""
    rows = await session.execute(_STANDINGS)
    return [Standing(pepper_id=row.pepper_id, live=row.live, all=row.all) for row in rows]


async def live_versions(session: AsyncSession, *, pepper_id: str, limit: int) -> Sequence[LiveVersion]:
    """Return the first valid texts that stand under a pepper, by id."""
    rows = await session.execute(_LIVE, {"pepper_id": pepper_id, "limit": limit})
    return [
        LiveVersion(kind=row.kind, id=row.id, tenant_id=row.tenant_id, environment=row.environment, number=row.number)
        for row in rows
    ]


async def end_version(session: AsyncSession, version: LiveVersion) -> bool:
    """End a text now; False if it had ended meanwhile."""
    result = await session.execute(_END[version.kind], {"id": version.id, "number": version.number})
    return bool(cast("CursorResult[Any]", result).rowcount)
