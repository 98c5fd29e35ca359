"""All SQL of leases: which worker owns which lanes. Each call is one statement.

A lane's lease has a fencing number that rises with each change of owner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import typeids


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """Which lanes a worker owns now, how many workers are alive, and what time it is to the database."""

    fences: dict[int, int]
    workers: int
    at: datetime


async def renew(connection: AsyncConnection, *, worker_id: UUID, name: str, lease_seconds: float) -> Leases:
    """Say that this worker is alive, renew all its lanes at once, and count the workers alive."""
    row = (
        await connection.execute(
            text(
                """
                WITH me AS (
                    INSERT INTO workers (id, name, seen_at) VALUES (:worker_id, :name, clock_timestamp())
                    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at
                ), gone AS (
                    DELETE FROM workers WHERE seen_at < clock_timestamp() - interval '1 hour' AND id <> :worker_id
                ), renewed AS (
                    UPDATE lanes SET expires_at = clock_timestamp() + make_interval(secs => :lease_seconds)
                    WHERE owner = :worker_id RETURNING lane, fence
                )
                SELECT (SELECT array_agg(lane) FROM renewed) AS lanes, (SELECT array_agg(fence) FROM renewed) AS fences,
                    (SELECT count(*) FROM workers WHERE id <> :worker_id
                        AND seen_at > clock_timestamp() - make_interval(secs => :lease_seconds)) + 1 AS workers,
                    clock_timestamp() AS at
                """
            ),
            {"worker_id": worker_id, "name": name, "lease_seconds": lease_seconds},
        )
    ).one()
    return Leases(fences=dict(zip(row.lanes or (), row.fences or (), strict=True)), workers=row.workers, at=row.at)


async def acquire(connection: AsyncConnection, *, worker_id: UUID, limit: int, lease_seconds: float) -> dict[int, int]:
    """Take up to ``limit`` lanes that nobody owns or whose lease ran out; returns lane → fence."""
    rows = await connection.execute(
        text(
            """
            UPDATE lanes SET owner = :worker_id, fence = fence + 1,
                expires_at = clock_timestamp() + make_interval(secs => :lease_seconds)
            WHERE lane IN (
                SELECT lane FROM lanes WHERE owner IS NULL OR expires_at < clock_timestamp()
                ORDER BY random() LIMIT :limit FOR UPDATE SKIP LOCKED
            )
            RETURNING lane, fence
            """
        ),
        {"worker_id": worker_id, "limit": limit, "lease_seconds": lease_seconds},
    )
    return {row.lane: row.fence for row in rows}


async def release(connection: AsyncConnection, *, worker_id: UUID, lanes: Sequence[int]) -> None:
    """Give lanes up, so that another worker has them at once."""
    await connection.execute(
        text(
            "UPDATE lanes SET owner = NULL, expires_at = '-infinity'"
            " WHERE owner = :worker_id AND lane = ANY(CAST(:lanes AS smallint[]))"
        ),
        {"worker_id": worker_id, "lanes": list(lanes)},
    )


async def forget_worker(connection: AsyncConnection, *, worker_id: UUID) -> None:
    """Remove a worker that stops in order, so that the others take their share of its lanes at once."""
    await connection.execute(text("DELETE FROM workers WHERE id = :worker_id"), {"worker_id": worker_id})


def new_worker_id() -> UUID:
    """Return an id for one life of a worker process."""
    return typeids.new_id()
