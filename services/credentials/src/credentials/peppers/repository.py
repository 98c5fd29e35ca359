"""SQL about which pepper the key hashes stand under."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

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
