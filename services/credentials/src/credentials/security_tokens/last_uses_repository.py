"""SQL of the narrow table ``security_token_last_uses``."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from credentials.api_keys.last_uses_repository import LastUse

# Ordered by id, so that two processes lock rows in the same order; forward only, so that the later one never sets it back.
_WRITE = text("""
INSERT INTO security_token_last_uses AS known (token_id, number, used_at, ip)
SELECT token_id, number, used_at, ip
FROM unnest(CAST(:token_ids AS uuid[]), CAST(:numbers AS integer[]), CAST(:used_ats AS timestamptz[]), CAST(:ips AS inet[]))
    AS used (token_id, number, used_at, ip)
JOIN security_token_versions USING (token_id, number)
ORDER BY token_id, number
ON CONFLICT (token_id, number) DO UPDATE SET used_at = excluded.used_at, ip = excluded.ip
WHERE known.used_at < excluded.used_at
""")


async def write(connection: AsyncConnection, uses: Mapping[tuple[UUID, int], LastUse]) -> None:
    """Store the uses by (token id, version number) in one statement."""
    await connection.execute(
        _WRITE,
        {
            "token_ids": [token_id for token_id, _ in uses],
            "numbers": [number for _, number in uses],
            "used_ats": [datetime.fromtimestamp(use.used_at, tz=UTC) for use in uses.values()],
            "ips": [str(use.ip) if use.ip else None for use in uses.values()],
        },
    )
