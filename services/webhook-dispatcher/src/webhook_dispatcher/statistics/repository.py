"""SQL of statistics. Each statement reads a bounded number of rows, however much there is (``walk_repository``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.walk_repository import walk_indexes

ENDED_MAX = 10_000
"""Ended deliveries that are looked at, the newest of the window."""
OUTSTANDING_MAX = 10_000
"""Up to how many pending deliveries are counted."""
_START, _END = UUID(int=0), UUID(int=(1 << 128) - 1)
_RETRIED_MAX = 1_000
"""Deliveries that wait for a retry whose attempts count as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a webhook's row says of its health, and what waits for it. ``oldest`` is the outstanding delivery made first."""

    status: Literal["enabled", "disabled"]
    breaker_opened_at: datetime | None
    failing_since: datetime | None
    pending: int
    in_flight: int
    oldest: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How deliveries ended, and how long their attempts took. ``first`` is the oldest that was looked at."""

    delivered: int
    failed: int
    cancelled: int
    looked_at: int
    first: UUID | None
    attempts: int
    attempts_delivered: int
    latencies_ms: Sequence[float] | None
    """p50, p95 and p99 of the attempts that were answered or failed; None without any."""


async def find_state(session: AsyncSession, *, realm: Realm, webhook_id: UUID) -> State | None:
    """Return a webhook's state; None if the realm has no such webhook."""
    statement = text(
        """
        SELECT w.status, w.breaker_opened_at, w.failing_since,
            (SELECT count(*) FROM (
                SELECT 1 FROM deliveries WHERE (webhook_id, id) > (w.id, :start) AND (webhook_id, id) < (w.id, :end)
                    AND status <> 'in_flight' ORDER BY webhook_id, id LIMIT :max
            ) waiting) AS pending,
            (SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE webhook_id = w.id AND status = 'in_flight' LIMIT :max) f)
                AS in_flight,
            (SELECT id FROM deliveries WHERE (webhook_id, id) > (w.id, :start) AND (webhook_id, id) < (w.id, :end)
                ORDER BY webhook_id, id LIMIT 1) AS oldest
        FROM webhooks w
        WHERE w.id = :id AND w.tenant_id = :tenant_id AND w.environment = :environment AND w.deleted_at IS NULL
        """
    )
    values = {
        "id": webhook_id,
        "tenant_id": realm.tenant_id,
        "environment": realm.environment,
        "max": OUTSTANDING_MAX,
        "start": _START,
        "end": _END,
    }
    await walk_indexes(session)
    row = (await session.execute(statement, values)).one_or_none()
    return None if row is None else State(**row._mapping)


async def count_ended(session: AsyncSession, *, webhook_id: UUID, since: datetime) -> Ended:
    """Return how the newest deliveries that were made since then ended, and how all their attempts went.

    Attempts of deliveries that wait for a retry count as well: a destination that fails has few that ended.
    """
    statement = text(
        """
        WITH ended AS MATERIALIZED (
            SELECT id, status FROM delivery_history
            WHERE (webhook_id, id) >= (:webhook_id, :since) AND (webhook_id, id) < (:webhook_id, :end)
            ORDER BY webhook_id DESC, id DESC LIMIT :ended_max
        ), retried AS MATERIALIZED (
            SELECT id FROM deliveries WHERE webhook_id = :webhook_id AND status = 'pending' AND LEAST(failures, 1) = 1
            ORDER BY next_attempt_at, id LIMIT :retried_max
        ), made AS MATERIALIZED (
            SELECT a.outcome, a.duration_ms FROM (
                SELECT id FROM ended UNION ALL SELECT id FROM retried WHERE id >= :since
            ) d CROSS JOIN LATERAL (
                SELECT outcome, duration_ms FROM attempts WHERE delivery_id = d.id AND url IS NOT NULL OFFSET 0
            ) a
        )
        SELECT count(*) FILTER (WHERE status = 'delivered') AS delivered, count(*) FILTER (WHERE status = 'failed') AS failed,
            count(*) FILTER (WHERE status = 'cancelled') AS cancelled, count(*) AS looked_at,
            (SELECT id FROM ended ORDER BY id LIMIT 1) AS first,
            (SELECT count(*) FROM made) AS attempts,
            (SELECT count(*) FROM made WHERE outcome = 'delivered') AS attempts_delivered,
            (SELECT percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_ms) FROM made) AS latencies_ms
        FROM ended
        """
    )
    values = {
        "webhook_id": webhook_id,
        "since": typeids.lower_bound(since),
        "end": _END,
        "ended_max": ENDED_MAX,
        "retried_max": _RETRIED_MAX,
    }
    await walk_indexes(session)
    return Ended(**(await session.execute(statement, values)).one()._mapping)
