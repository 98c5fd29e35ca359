"""SQL of the revocation feed: tables ``revocations`` and ``revocation_sequence``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

TargetKind = Literal["credential", "tenant", "token", "signing_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One row of the feed: everything known about this target before ``sequence`` is void."""

    sequence: int
    target_kind: TargetKind
    target_id: UUID
    reason: str
    at: datetime
    age_ms: float
    """Since its transaction began, when this was read; by the clock of Postgres."""


async def append(session: AsyncSession, *, target_kind: TargetKind, target_id: UUID, reason: str) -> int:
    """Add a row and return its sequence. Locks the one counter row until commit, hence the last statement of a mutation."""
    return int(
        await session.scalar(
            text(
                "WITH next AS (UPDATE revocation_sequence SET value = value + 1 RETURNING value)"
                " INSERT INTO revocations (sequence, target_kind, target_id, reason)"
                " SELECT value, :target_kind, :target_id, :reason FROM next RETURNING sequence"
            ),
            {"target_kind": target_kind, "target_id": target_id, "reason": reason},
        )
        or 0
    )


async def last_sequence(connection: AsyncConnection) -> int:
    """Return the sequence of the newest committed row, 0 when there is none yet."""
    return int(await connection.scalar(text("SELECT value FROM revocation_sequence")) or 0)


async def after(connection: AsyncConnection, *, sequence: int, limit: int) -> Sequence[Revocation]:
    """Return the rows that follow ``sequence``, oldest first."""
    rows = await connection.execute(
        text(
            "SELECT sequence, target_kind, target_id, reason, at,"
            " (extract(epoch FROM clock_timestamp() - at) * 1000)::float8 AS age_ms FROM revocations"
            " WHERE sequence > :sequence ORDER BY sequence LIMIT :limit"
        ),
        {"sequence": sequence, "limit": limit},
    )
    return [Revocation(**row._mapping) for row in rows]


async def forget_older_than(session: AsyncSession, *, hours: int) -> None:
    """Remove the oldest rows, up to the first younger one, and never the newest row.

    So no hole is made, and whoever lies behind what is gone sees it: the next row does not follow its own.
    """
    await session.execute(
        text(
            "DELETE FROM revocations WHERE sequence < least((SELECT value FROM revocation_sequence),"
            " (SELECT min(sequence) FROM revocations WHERE at >= now() - make_interval(hours => :hours)))"
        ),
        {"hours": hours},
    )
