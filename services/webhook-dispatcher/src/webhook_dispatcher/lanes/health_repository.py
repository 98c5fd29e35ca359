"""All SQL of webhooks' health as the owner of their lanes writes and reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shared.access import Realm
from webhook_dispatcher.events.operational import Subject
from webhook_dispatcher.lanes.breaker import Breaker
from webhook_dispatcher.webhooks.health import Health

WAITING_MAX = 10_000
"""As far as the deliveries that a breaker held are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an attempt made of a webhook's health. ``enabled_at`` and ``fence``: those it was made under."""

    webhook_id: UUID
    fence: int
    enabled_at: datetime | None
    breaker: Breaker
    at: datetime
    last_status: int | None
    last_error: str | None
    disable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A webhook whose health was written."""

    about: Subject
    was_open: bool
    waiting: int
    """How many deliveries wait, up to ``WAITING_MAX``; counted only where the breaker has closed."""


async def save(session: AsyncSession, *, worker_id: UUID, changes: Sequence[Change]) -> Sequence[Saved]:
    """Write the health of webhooks whose lanes are still ours, and that nobody has enabled or disabled meanwhile.

    Safe to repeat: what was written is not told as a change of the breaker again.
    """
    rows = await session.execute(
        text(
            """
            UPDATE webhooks w SET failing_since = c.failing_since, failures_in_a_row = c.failures,
                breaker_opened_at = c.opened_at, probe_delay_seconds = c.probe_seconds, recovered_at = c.recovered_at,
                probe_at = CASE WHEN c.opened_at IS NOT NULL
                    THEN clock_timestamp() + make_interval(secs => c.probe_seconds) END
            FROM unnest(
                CAST(:ids AS uuid[]), CAST(:fences AS bigint[]), CAST(:enabled AS timestamptz[]),
                CAST(:since AS timestamptz[]), CAST(:failures AS integer[]), CAST(:opened AS timestamptz[]),
                CAST(:probes AS integer[]), CAST(:recovered AS timestamptz[])
            ) AS c (id, fence, enabled_at, failing_since, failures, opened_at, probe_seconds, recovered_at)
            WHERE w.id = c.id AND w.status = 'enabled' AND w.deleted_at IS NULL
              AND w.enabled_at IS NOT DISTINCT FROM c.enabled_at
              AND EXISTS (SELECT 1 FROM lanes l WHERE l.lane = w.lane AND l.owner = :worker_id AND l.fence = c.fence)
            RETURNING w.id, w.name, w.tenant_id, w.environment, old.breaker_opened_at IS NOT NULL AS was_open,
                CASE WHEN old.breaker_opened_at IS NOT NULL AND new.breaker_opened_at IS NULL THEN (
                    SELECT count(*) FROM (
                        SELECT 1 FROM deliveries WHERE webhook_id = w.id AND status = 'pending' LIMIT :waiting_max
                    ) d
                ) ELSE 0 END AS waiting
            """
        ),
        {
            "worker_id": worker_id,
            "waiting_max": WAITING_MAX,
            "ids": [item.webhook_id for item in changes],
            "fences": [item.fence for item in changes],
            "enabled": [item.enabled_at for item in changes],
            "since": [item.breaker.failing_since for item in changes],
            "failures": [item.breaker.failures for item in changes],
            "opened": [item.breaker.opened_at for item in changes],
            "probes": [item.breaker.probe_seconds for item in changes],
            "recovered": [item.breaker.recovered_at for item in changes],
        },
    )
    return [
        Saved(
            about=_subject_of(row),
            was_open=row.was_open,
            waiting=row.waiting,
        )
        for row in rows
    ]


async def disable(
    session: AsyncSession,
    *,
    webhooks: Sequence[UUID],
    reason: str,
    at: datetime,
    urls: Sequence[str] | None = None,
) -> Sequence[Subject]:
    """Disable webhooks; returns those that were enabled until now.

    With ``urls``, one for each of them, only where it has that URL still: what another one answered says nothing of it.
    """
    rows = await session.execute(
        text(
            """
            UPDATE webhooks w SET status = 'disabled', disabled_reason = :reason, disabled_at = :at,
                revision = revision + 1, updated_at = now()
            FROM unnest(CAST(:ids AS uuid[]), CAST(:urls AS text[])) AS asked (id, url)
            WHERE w.id = asked.id AND w.url = COALESCE(asked.url, w.url) AND status = 'enabled' AND deleted_at IS NULL
            RETURNING w.id, name, tenant_id, environment
            """
        ),
        {"ids": list(webhooks), "urls": list(urls or ()), "reason": reason, "at": at},
    )
    return [_subject_of(row) for row in rows]


def _subject_of(row: Any) -> Subject:
    return Subject(webhook_id=row.id, name=row.name, realm=Realm(tenant_id=row.tenant_id, environment=row.environment))


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A webhook's health as another owner of its lane left it."""

    webhook_id: UUID
    enabled_at: datetime | None
    breaker: Breaker


async def load_failing(connection: AsyncConnection, *, worker_id: UUID, lanes: Sequence[int]) -> Sequence[Remembered]:
    """Return the webhooks of these lanes of ours that fail."""
    rows = await connection.execute(
        text(
            """
            SELECT w.id, w.enabled_at, w.failing_since, w.failures_in_a_row, w.breaker_opened_at, w.probe_delay_seconds,
                w.recovered_at
            FROM lanes l JOIN webhooks w ON w.lane = l.lane
            WHERE l.owner = :worker_id AND l.lane = ANY (CAST(:lanes AS smallint[]))
              AND w.failing_since IS NOT NULL AND w.deleted_at IS NULL AND w.status = 'enabled'
            """
        ),
        {"worker_id": worker_id, "lanes": list(lanes)},
    )
    return [
        Remembered(
            webhook_id=row.id,
            enabled_at=row.enabled_at,
            breaker=Breaker(
                failures=row.failures_in_a_row,
                failing_since=row.failing_since,
                opened_at=row.breaker_opened_at,
                probe_seconds=row.probe_delay_seconds,
                recovered_at=row.recovered_at,
            ),
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The webhooks of our lanes by health, and those whose oldest pending delivery is due for longest, in seconds."""

    by_health: dict[Health, int]
    oldest_pending: dict[UUID, float]


async def find_overview(connection: AsyncConnection, *, worker_id: UUID, oldest_max: int) -> Overview:
    """Return figures of our lanes: two looks into the index of what is pending for each webhook, whatever waits there."""
    rows = (
        await connection.execute(
            text(
                """
                WITH ours AS MATERIALIZED (
                    SELECT w.id, CASE WHEN w.status = 'disabled' THEN 'disabled'
                        WHEN w.breaker_opened_at IS NOT NULL THEN 'open'
                        WHEN w.failing_since IS NOT NULL THEN 'failing' ELSE 'healthy' END AS health
                    FROM lanes l JOIN webhooks w ON w.lane = l.lane
                    WHERE l.owner = :worker_id AND w.deleted_at IS NULL
                ), oldest AS (
                    SELECT ours.id, LEAST(first.at, retry.at) AS at FROM ours
                    LEFT JOIN LATERAL (
                        SELECT next_attempt_at AS at FROM deliveries
                        WHERE webhook_id = ours.id AND status = 'pending' AND LEAST(failures, 1) = 0
                        ORDER BY next_attempt_at LIMIT 1
                    ) first ON true
                    LEFT JOIN LATERAL (
                        SELECT next_attempt_at AS at FROM deliveries
                        WHERE webhook_id = ours.id AND status = 'pending' AND LEAST(failures, 1) = 1
                        ORDER BY next_attempt_at LIMIT 1
                    ) retry ON true
                    WHERE LEAST(first.at, retry.at) < statement_timestamp() ORDER BY at LIMIT :oldest_max
                )
                SELECT NULL::uuid AS id, health, count(*)::float AS figure FROM ours GROUP BY health
                UNION ALL
                SELECT id, NULL, EXTRACT(epoch FROM statement_timestamp() - at)::float FROM oldest
                """
            ),
            {"worker_id": worker_id, "oldest_max": oldest_max},
        )
    ).all()
    return Overview(
        by_health={row.health: int(row.figure) for row in rows if row.id is None},
        oldest_pending={row.id: row.figure for row in rows if row.id is not None},
    )
