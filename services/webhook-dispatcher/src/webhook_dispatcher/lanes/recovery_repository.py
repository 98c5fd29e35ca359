"""All SQL of the look of each second: what is due without a hint, and what a lost worker or a lost answer left behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def recover_unknown(connection: AsyncConnection, *, worker_id: UUID) -> int:
    """Take back what an earlier owner of our lanes had in flight: its outcome is unknown, so it is sent again.

    The attempt it stood at is written as ``unknown``, and uses up nothing of the schedule.
    """
    rows = await connection.execute(
        text(
            """
            WITH lost AS (
                SELECT d.id, d.attempts FROM lanes l
                JOIN webhooks w ON w.lane = l.lane
                JOIN deliveries d ON d.webhook_id = w.id AND d.status = 'in_flight' AND d.fence < l.fence
                WHERE l.owner = :worker_id
                FOR UPDATE OF d SKIP LOCKED
            ), noted AS (
                INSERT INTO attempts (delivery_id, number, id, started_at, outcome, error_code)
                SELECT id, attempts, uuidv7(), clock_timestamp(), 'unknown', 'worker_lost' FROM lost
                ON CONFLICT DO NOTHING
            )
            UPDATE deliveries SET status = 'pending', fence = NULL, next_attempt_at = now(), last_error = 'worker_lost'
            FROM lost WHERE deliveries.id = lost.id
            RETURNING deliveries.webhook_id
            """
        ),
        {"worker_id": worker_id},
    )
    return len(rows.all())


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Webhooks that have a delivery due, and for how long the one that waits longest has been, of those that nothing holds."""

    webhooks: Sequence[UUID]
    lag_seconds: float


async def find_due(connection: AsyncConnection, *, worker_id: UUID) -> Due:
    """Return the webhooks of our lanes that may be sent to now and have a delivery due.

    Two looks into the index for each, one for first attempts and one for retries. One whose breaker is open is due when its
    next probe is.
    """
    rows = (
        await connection.execute(
            text(
                """
                SELECT w.id, CASE WHEN w.probe_at IS NULL
                    THEN EXTRACT(epoch FROM statement_timestamp() - LEAST(first.at, retry.at)) ELSE 0 END AS lag_seconds
                FROM lanes l JOIN webhooks w ON w.lane = l.lane
                LEFT JOIN LATERAL (
                    SELECT next_attempt_at AS at FROM deliveries
                    WHERE webhook_id = w.id AND status = 'pending' AND LEAST(failures, 1) = 0
                    ORDER BY next_attempt_at LIMIT 1
                ) first ON true
                LEFT JOIN LATERAL (
                    SELECT next_attempt_at AS at FROM deliveries
                    WHERE webhook_id = w.id AND status = 'pending' AND LEAST(failures, 1) = 1
                    ORDER BY next_attempt_at LIMIT 1
                ) retry ON true
                WHERE l.owner = :worker_id AND w.deleted_at IS NULL AND w.status = 'enabled'
                  AND (w.probe_at IS NULL OR w.probe_at <= statement_timestamp())
                  AND LEAST(first.at, retry.at) <= statement_timestamp()
                """
            ),
            {"worker_id": worker_id},
        )
    ).all()
    return Due(
        webhooks=[row.id for row in rows], lag_seconds=max((float(row.lag_seconds) for row in rows), default=0.0)
    )


async def release_strays(connection: AsyncConnection, *, worker_id: UUID, known: Sequence[UUID]) -> Sequence[UUID]:
    """Give back what is in flight for this worker in the database and not among ``known``; returns the webhooks.

    A claim whose answer was lost leaves such rows. They were never sent, so no attempt is noted.
    """
    rows = await connection.execute(
        text(
            """
            UPDATE deliveries d SET status = 'pending', fence = NULL, attempts = attempts - 1
            FROM lanes l JOIN webhooks w ON w.lane = l.lane
            WHERE l.owner = :worker_id AND d.webhook_id = w.id AND d.status = 'in_flight' AND d.fence = l.fence
              AND d.id <> ALL (CAST(:known AS uuid[]))
            RETURNING d.webhook_id
            """
        ),
        {"worker_id": worker_id, "known": list(known)},
    )
    return list(rows.scalars())


async def cancel_of_deleted(connection: AsyncConnection, *, worker_id: UUID) -> int:
    """Cancel what became pending for a webhook while, or after, it was deleted; returns how many that were.

    One look into the index of due deliveries for each deleted webhook of our lanes.
    """
    rows = await connection.execute(
        text(
            """
            WITH left_over AS MATERIALIZED (
                SELECT d.id FROM lanes l
                JOIN webhooks w ON w.lane = l.lane AND w.deleted_at IS NOT NULL
                CROSS JOIN LATERAL (
                    SELECT id FROM deliveries WHERE webhook_id = w.id AND status = 'pending' LIMIT 1000
                    FOR UPDATE SKIP LOCKED
                ) d
                WHERE l.owner = :worker_id
            ), ended AS (
                DELETE FROM deliveries WHERE id = ANY (ARRAY(SELECT id FROM left_over))
                RETURNING id, webhook_id, event, tenant_id, environment, attempts, last_status, last_error
            )
            INSERT INTO delivery_history
                (id, webhook_id, event, tenant_id, environment, status, attempts, last_status, last_error)
            SELECT id, webhook_id, event, tenant_id, environment, 'cancelled', attempts, last_status, last_error FROM ended
            RETURNING id
            """
        ),
        {"worker_id": worker_id},
    )
    return len(rows.all())
