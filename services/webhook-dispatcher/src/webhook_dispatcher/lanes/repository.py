"""All SQL of the workers: leases of lanes, claiming due deliveries, recording outcomes. Each call is one statement.

A lane's lease has a fencing number that rises with each change of owner. What a worker claims carries the number, and is
recorded only while it still does: a worker that was taken for dead cannot overwrite what its successor did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import typeids


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """Which lanes a worker owns now, and how many workers are alive."""

    fences: dict[int, int]
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery that this worker must send now."""

    id: UUID
    webhook_id: UUID
    webhook_revision: int
    fence: int
    attempt: int
    failures: int
    event_id: str
    event_type: str
    payload: bytes
    test: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The outcome of one attempt, as it is written."""

    claimed: Claimed
    status: Literal["pending", "delivered", "failed"]
    failures: int
    next_attempt_at: datetime | None
    attempt_id: UUID
    started_at: datetime
    duration_ms: float
    outcome: Literal["delivered", "failed", "unknown"]
    error_code: str | None
    url: str | None
    request_headers: str | None
    request_body: bytes | None
    response_status: int | None
    response_headers: str | None
    response_body: bytes | None
    response_truncated: bool
    disable_reason: str | None = None


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
                        AND seen_at > clock_timestamp() - make_interval(secs => :lease_seconds)) + 1 AS workers
                """
            ),
            {"worker_id": worker_id, "name": name, "lease_seconds": lease_seconds},
        )
    ).one()
    return Leases(fences=dict(zip(row.lanes or (), row.fences or (), strict=True)), workers=row.workers)


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


async def find_due(connection: AsyncConnection, *, worker_id: UUID) -> Sequence[UUID]:
    """Return the webhooks of our lanes that have a delivery due: one look into the index for each."""
    rows = await connection.execute(
        text(
            """
            SELECT w.id FROM lanes l JOIN webhooks w ON w.lane = l.lane
            WHERE l.owner = :worker_id AND w.deleted_at IS NULL AND w.status = 'enabled' AND EXISTS (
                SELECT 1 FROM deliveries d
                WHERE d.webhook_id = w.id AND d.status = 'pending' AND d.next_attempt_at <= clock_timestamp()
            )
            """
        ),
        {"worker_id": worker_id},
    )
    return list(rows.scalars())


# OFFSET 0 keeps the planner to this order: from the few webhooks asked for, by primary keys, never over whole lanes.
_CLAIM = text(
    """
    WITH asked AS MATERIALIZED (
        SELECT a.webhook_id, w.revision, l.fence, a.wanted
        FROM unnest(CAST(:webhooks AS uuid[]), CAST(:limits AS integer[])) AS a (webhook_id, wanted)
        CROSS JOIN LATERAL (
            SELECT revision, lane FROM webhooks
            WHERE id = a.webhook_id AND status = 'enabled' AND deleted_at IS NULL OFFSET 0
        ) w
        CROSS JOIN LATERAL (
            SELECT fence FROM lanes
            WHERE lane = w.lane AND owner = :worker_id AND expires_at > clock_timestamp() OFFSET 0
        ) l
    ), due AS (
        SELECT d.id, asked.revision, asked.fence
        FROM asked CROSS JOIN LATERAL (
            SELECT id FROM deliveries
            WHERE webhook_id = asked.webhook_id AND status = 'pending' AND next_attempt_at <= clock_timestamp()
            ORDER BY next_attempt_at, id LIMIT asked.wanted
            FOR UPDATE SKIP LOCKED
        ) d
    ), claimed AS (
        UPDATE deliveries SET status = 'in_flight', fence = due.fence, attempts = attempts + 1
        FROM due WHERE deliveries.id = due.id
        RETURNING deliveries.id, deliveries.webhook_id, due.revision AS webhook_revision, deliveries.fence,
            deliveries.attempts AS attempt, deliveries.failures, deliveries.event
    )
    SELECT claimed.id, claimed.webhook_id, claimed.webhook_revision, claimed.fence, claimed.attempt, claimed.failures,
        events.event_id, events.type AS event_type, events.payload, events.test
    FROM claimed JOIN events ON events.id = claimed.event
    """
)


async def claim(connection: AsyncConnection, *, worker_id: UUID, limits: dict[UUID, int]) -> Sequence[Claimed]:
    """Claim what is due, at most ``limits[webhook]`` of each webhook, oldest due first. Only lanes owned now count."""
    rows = await connection.execute(
        _CLAIM, {"worker_id": worker_id, "webhooks": list(limits), "limits": list(limits.values())}
    )
    return [
        Claimed(
            id=row[0],
            webhook_id=row[1],
            webhook_revision=row[2],
            fence=row[3],
            attempt=row[4],
            failures=row[5],
            event_id=row[6],
            event_type=row[7],
            payload=row[8],
            test=row[9],
        )
        for row in rows
    ]


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


# Only a delivery that is in flight has a fence, so the fence says it all; naming the status as well would lead the planner to
# the small index of what is in flight, and to comparing each of those with each outcome.
_RECORD = text(
    """
    WITH outcome AS MATERIALIZED (
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:fences AS bigint[]), CAST(:attempts AS integer[]), CAST(:statuses AS text[]),
            CAST(:failures AS integer[]), CAST(:next_times AS timestamptz[]), CAST(:attempt_ids AS uuid[]),
            CAST(:started AS timestamptz[]), CAST(:durations AS real[]), CAST(:outcomes AS text[]),
            CAST(:errors AS text[]), CAST(:urls AS text[]), CAST(:request_headers AS text[]),
            CAST(:request_bodies AS bytea[]),
            CAST(:response_statuses AS smallint[]), CAST(:response_headers AS text[]), CAST(:response_bodies AS bytea[]),
            CAST(:truncated AS boolean[])
        ) AS o (id, fence, attempt, status, failures, next_attempt_at, attempt_id, started_at, duration_ms, outcome,
            error_code, url, request_headers, request_body, response_status, response_headers, response_body,
            truncated)
    ), ended AS (
        DELETE FROM deliveries d USING outcome o
        WHERE d.id = o.id AND d.fence = o.fence AND d.attempts = o.attempt AND o.status <> 'pending'
        RETURNING d.id, d.webhook_id, d.event, d.tenant_id, d.environment, d.attempts, o.status, o.response_status,
            o.error_code
    ), kept AS (
        INSERT INTO delivery_history
            (id, webhook_id, event, tenant_id, environment, status, attempts, last_status, last_error)
        SELECT id, webhook_id, event, tenant_id, environment, status, attempts, response_status, error_code FROM ended
    ), again AS (
        UPDATE deliveries d SET status = 'pending', fence = NULL, failures = o.failures, next_attempt_at = o.next_attempt_at,
            last_status = o.response_status, last_error = o.error_code
        FROM outcome o
        WHERE d.id = o.id AND d.fence = o.fence AND d.attempts = o.attempt AND o.status = 'pending'
        RETURNING d.id
    ), recorded AS (
        SELECT id FROM ended UNION ALL SELECT id FROM again
    ), noted AS (
        INSERT INTO attempts (delivery_id, number, id, started_at, duration_ms, outcome, error_code, url,
            request_headers, request_body,
            response_status, response_headers, response_body, response_truncated)
        SELECT o.id, o.attempt, o.attempt_id, o.started_at, o.duration_ms, o.outcome, o.error_code, o.url,
            CAST(o.request_headers AS json), o.request_body, o.response_status, CAST(o.response_headers AS json), o.response_body,
            o.truncated
        FROM outcome o JOIN recorded r ON r.id = o.id
        ON CONFLICT DO NOTHING
    )
    SELECT id FROM recorded
    """
)


async def record(connection: AsyncConnection, records: Sequence[Record]) -> frozenset[UUID]:
    """Write outcomes with their attempts; returns the deliveries recorded. Others were fenced off, or recorded before.

    Safe to repeat after a lost connection: what was written carries no fence any more.
    """
    rows = await connection.execute(
        _RECORD,
        {
            "ids": [item.claimed.id for item in records],
            "fences": [item.claimed.fence for item in records],
            "attempts": [item.claimed.attempt for item in records],
            "statuses": [item.status for item in records],
            "failures": [item.failures for item in records],
            "next_times": [item.next_attempt_at for item in records],
            "attempt_ids": [item.attempt_id for item in records],
            "started": [item.started_at for item in records],
            "durations": [item.duration_ms for item in records],
            "outcomes": [item.outcome for item in records],
            "errors": [item.error_code for item in records],
            "urls": [item.url for item in records],
            "request_headers": [item.request_headers for item in records],
            "request_bodies": [item.request_body for item in records],
            "response_statuses": [item.response_status for item in records],
            "response_headers": [item.response_headers for item in records],
            "response_bodies": [item.response_body for item in records],
            "truncated": [item.response_truncated for item in records],
        },
    )
    return frozenset(rows.scalars())


async def disable_webhooks(connection: AsyncConnection, *, reasons: dict[UUID, str]) -> None:
    """Disable webhooks whose destination said that it is gone for good."""
    await connection.execute(
        text(
            """
            WITH disabled AS (
                UPDATE webhooks w SET status = 'disabled', disabled_reason = r.reason, disabled_at = now(),
                    revision = revision + 1, updated_at = now()
                FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS r (id, reason)
                WHERE w.id = r.id AND w.status = 'enabled' AND w.deleted_at IS NULL
                RETURNING w.id, w.tenant_id, w.environment, r.reason
            )
            INSERT INTO audit_entries (id, tenant_id, environment, action, actor, target, request_id, changes)
            SELECT uuidv7(), tenant_id, environment, 'webhook.disabled', 'system', 'wh:' || id, '',
                jsonb_build_object('reason', reason)
            FROM disabled
            """
        ),
        {"ids": list(reasons), "reasons": list(reasons.values())},
    )


async def load_webhooks(connection: AsyncConnection, ids: Sequence[UUID]) -> Sequence[Any]:
    """Return what sending needs of these webhooks: configuration and sealed secrets, newest first."""
    rows = await connection.execute(
        text(
            """
            SELECT w.id, w.tenant_id, w.revision, w.name, w.url, w.format, w.crm_signature,
                w.signature_header, w.sealed_headers, w.retry_delays_seconds, w.timeout_seconds, w.max_in_flight,
                w.rate_per_second, s.ids AS secret_ids, s.sealed AS sealed_secrets, s.expiries AS secret_expiries
            FROM webhooks w CROSS JOIN LATERAL (
                SELECT array_agg(id ORDER BY id DESC) AS ids, array_agg(sealed_secret ORDER BY id DESC) AS sealed,
                    array_agg(expires_at ORDER BY id DESC) AS expiries
                FROM webhook_secrets WHERE webhook_id = w.id AND (expires_at IS NULL OR expires_at > now())
            ) s
            WHERE w.id = ANY(CAST(:ids AS uuid[]))
            """
        ),
        {"ids": list(ids)},
    )
    return rows.all()


async def cancel_of_deleted(connection: AsyncConnection, *, worker_id: UUID) -> int:
    """Cancel what was accepted for a webhook while it was being deleted; looks at deletions of the last minutes."""
    rows = await connection.execute(
        text(
            """
            WITH ended AS (
                DELETE FROM deliveries d USING webhooks w, lanes l
                WHERE w.updated_at > now() - interval '5 minutes' AND w.deleted_at IS NOT NULL
                  AND l.lane = w.lane AND l.owner = :worker_id AND d.webhook_id = w.id AND d.status = 'pending'
                RETURNING d.id, d.webhook_id, d.event, d.tenant_id, d.environment, d.attempts, d.last_status, d.last_error
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


def new_worker_id() -> UUID:
    """Return an id for one life of a worker process."""
    return typeids.new_id()
