"""SQL of the narrow table ``api_key_last_uses``."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.principals import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class LastUse:
    """The newest use of one key version; ``used_at`` is Unix seconds."""

    used_at: float
    ip: Address | None


# Ordered by id, so that two processes lock rows in the same order; forward only, so that the later one never sets a key back.
# The join leaves out keys deleted since their use.
_WRITE = text("""
INSERT INTO api_key_last_uses AS known (key_id, number, used_at, ip)
SELECT key_id, number, used_at, ip
FROM unnest(CAST(:key_ids AS uuid[]), CAST(:numbers AS integer[]), CAST(:used_ats AS timestamptz[]), CAST(:ips AS inet[]))
    AS used (key_id, number, used_at, ip)
JOIN api_key_versions USING (key_id, number)
ORDER BY key_id, number
ON CONFLICT (key_id, number) DO UPDATE SET used_at = excluded.used_at, ip = excluded.ip
WHERE known.used_at < excluded.used_at
""")


async def write(connection: AsyncConnection, uses: Mapping[tuple[UUID, int], LastUse]) -> None:
    """Store the uses by (key id, version number) in one statement."""
    await connection.execute(
        _WRITE,
        {
            "key_ids": [key_id for key_id, _ in uses],
            "numbers": [number for _, number in uses],
            "used_ats": [datetime.fromtimestamp(use.used_at, tz=UTC) for use in uses.values()],
            "ips": [str(use.ip) if use.ip else None for use in uses.values()],
        },
    )
