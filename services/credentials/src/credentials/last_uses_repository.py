"""SQL of the narrow tables ``api_key_last_uses`` and ``security_token_last_uses``."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import TextClause

from shared.principals import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class LastUse:
    """The newest use of one version of a key or token; ``used_at`` is Unix seconds."""

    used_at: float
    ip: Address | None


@dataclass(frozen=True, slots=True)
class LastUseTable:
    """One of the tables, as the statement that writes into it."""

    write: TextClause


def _table(name: str, *, versions: str, owner: str) -> LastUseTable:
    """Return a table whose rows belong to the versions of an owner.

    Ordered by id, so that two processes lock rows in the same order; forward only, so that the later one never sets a row back.
    The join leaves out what was deleted since its use.
    """
    return LastUseTable(
        text(f"""
INSERT INTO {name} AS known ({owner}, number, used_at, ip)
SELECT {owner}, number, used_at, ip
FROM unnest(CAST(:owners AS uuid[]), CAST(:numbers AS integer[]), CAST(:used_ats AS timestamptz[]), CAST(:ips AS inet[]))
    AS used ({owner}, number, used_at, ip)
JOIN {versions} USING ({owner}, number)
ORDER BY {owner}, number
ON CONFLICT ({owner}, number) DO UPDATE SET used_at = excluded.used_at, ip = excluded.ip
WHERE known.used_at < excluded.used_at
""")  # noqa: S608 - names are ours
    )


API_KEYS = _table("api_key_last_uses", versions="api_key_versions", owner="key_id")
SECURITY_TOKENS = _table("security_token_last_uses", versions="security_token_versions", owner="token_id")


async def write(connection: AsyncConnection, table: LastUseTable, uses: Mapping[tuple[UUID, int], LastUse]) -> None:
    """Store the uses by (key or token id, version number) in one statement."""
    await connection.execute(
        table.write,
        {
            "owners": [owner for owner, _ in uses],
            "numbers": [number for _, number in uses],
            "used_ats": [datetime.fromtimestamp(use.used_at, tz=UTC) for use in uses.values()],
            "ips": [str(use.ip) if use.ip else None for use in uses.values()],
        },
    )
