"""All SQL of sending: claiming due deliveries, recording outcomes. Each call is one statement.

What a worker claims carries its lane's fencing number (``leases_repository``), and is recorded only while it still does: a
worker that was taken for dead cannot overwrite what its successor did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


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
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The outcome of one attempt, as it is written."""

    claimed: Claimed
    status: Literal["pending", "delivered", "failed"]
    failures: int
    next_attempt_after: timedelta | None
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
    own_fault: bool = False
    """Whether it says nothing of the destination."""
    gone: bool = False
    """Whether the destination answered 410 Gone."""
    ordered: bool = False
    """Whether the webhook is, so that another delivery may wait for the end of this one."""


# OFFSET 0 keeps the planner to this order: from the few webhooks asked for, by primary keys, never over whole lanes or tables;
# IS TRUE keeps it from the partial index of lanes, which is as good while webhooks are few, and the plan may be kept for longer.
# For the same reason what is claimed is named by an array and not joined: a join could read all of a table that is small so far.
# Retries come first, but no more of them than their share; first attempts fill up the rest. Each is one range of the index, of
# which no more is read than is claimed: so not clock_timestamp(), since a volatile function bounds no range. A breaker that is
# open lets one through, when its probe is due.
_CLAIM = text(
    """
    WITH asked AS MATERIALIZED (
        SELECT a.webhook_id, w.revision, l.fence,
            CASE WHEN w.revision = a.revision AND w.probe_at IS NULL THEN a.wanted ELSE 1 END AS wanted,
            CASE WHEN w.revision = a.revision AND w.probe_at IS NULL THEN a.retries ELSE LEAST(a.retries, 1) END AS retries
        FROM unnest(
            CAST(:webhooks AS uuid[]), CAST(:limits AS integer[]), CAST(:retries AS integer[]), CAST(:revisions AS bigint[])
        ) AS a (webhook_id, wanted, retries, revision)
        CROSS JOIN LATERAL (
            SELECT revision, lane, probe_at FROM webhooks
            WHERE id = a.webhook_id AND status = 'enabled' AND (deleted_at IS NULL) IS TRUE
              AND (probe_at IS NULL OR probe_at <= statement_timestamp()) OFFSET 0
        ) w
        CROSS JOIN LATERAL (
            SELECT fence FROM lanes
            WHERE lane = w.lane AND owner = :worker_id AND expires_at > statement_timestamp() OFFSET 0
        ) l
    ), due AS (
        SELECT d.id
        FROM asked CROSS JOIN LATERAL (
            SELECT ARRAY(
                SELECT id FROM deliveries
                WHERE webhook_id = asked.webhook_id AND status = 'pending' AND LEAST(failures, 1) = 1
                  AND next_attempt_at <= statement_timestamp()
                ORDER BY next_attempt_at, id LIMIT asked.retries
                FOR UPDATE SKIP LOCKED
            ) AS ids OFFSET 0
        ) again CROSS JOIN LATERAL (
            SELECT ARRAY(
                SELECT id FROM deliveries
                WHERE webhook_id = asked.webhook_id AND status = 'pending' AND LEAST(failures, 1) = 0
                  AND next_attempt_at <= statement_timestamp()
                ORDER BY next_attempt_at, id LIMIT asked.wanted - cardinality(again.ids)
                FOR UPDATE SKIP LOCKED
            ) AS ids OFFSET 0
        ) fresh CROSS JOIN LATERAL unnest(again.ids || fresh.ids) AS d (id)
    ), claimed AS (
        UPDATE deliveries SET status = 'in_flight', attempts = attempts + 1,
            fence = ((SELECT array_agg(fence) FROM asked))[
                array_position((SELECT array_agg(webhook_id) FROM asked), deliveries.webhook_id)]
        WHERE id = ANY (ARRAY(SELECT id FROM due))
        RETURNING id, webhook_id, fence, attempts, failures, event
    )
    SELECT claimed.id, claimed.webhook_id, asked.revision, claimed.fence, claimed.attempts, claimed.failures,
        e.event_id, e.type, e.payload, e.test, e.traceparent
    FROM claimed JOIN asked USING (webhook_id)
    CROSS JOIN LATERAL (SELECT event_id, type, payload, test, traceparent FROM events WHERE id = claimed.event OFFSET 0) e
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many deliveries of a webhook to claim, how many of them may be retries, and the revision that says so."""

    count: int
    retries: int
    revision: int


async def claim(connection: AsyncConnection, *, worker_id: UUID, limits: dict[UUID, Limit]) -> Sequence[Claimed]:
    """Claim what is due in lanes owned now, at most the limits of each webhook; of retries, and of the others, the oldest first.

    Of a webhook that was changed since the limit's revision one is claimed: it brings the new revision along.
    """
    rows = await connection.execute(
        _CLAIM,
        {
            "worker_id": worker_id,
            "webhooks": list(limits),
            "limits": [limit.count for limit in limits.values()],
            "retries": [limit.retries for limit in limits.values()],
            "revisions": [limit.revision for limit in limits.values()],
        },
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
            traceparent=row[10],
        )
        for row in rows
    ]


# Only a delivery that is in flight has a fence, so the fence says it all; naming the status as well would lead the planner to
# the small index of what is in flight, and to comparing each of those with each outcome. A retry for a webhook that was deleted
# meanwhile has nothing to wait for: it ends here.
_RECORD = text(
    """
    WITH outcome AS MATERIALIZED (
        SELECT o.id, o.fence, o.attempt, o.failures, o.next_attempt_after, o.attempt_id, o.started_at, o.duration_ms,
            o.outcome, o.error_code, o.url, o.request_headers, o.request_body, o.response_status, o.response_headers,
            o.response_body, o.truncated,
            CASE WHEN o.status = 'pending'
                AND (SELECT deleted_at FROM webhooks WHERE webhooks.id = o.webhook_id) IS NOT NULL
                THEN 'cancelled' ELSE o.status END AS status
        FROM unnest(
            CAST(:ids AS uuid[]), CAST(:webhooks AS uuid[]), CAST(:fences AS bigint[]), CAST(:attempts AS integer[]),
            CAST(:statuses AS text[]),
            CAST(:failures AS integer[]), CAST(:waits AS interval[]), CAST(:attempt_ids AS uuid[]),
            CAST(:started AS timestamptz[]), CAST(:durations AS real[]), CAST(:outcomes AS text[]),
            CAST(:errors AS text[]), CAST(:urls AS text[]), CAST(:request_headers AS text[]),
            CAST(:request_bodies AS bytea[]),
            CAST(:response_statuses AS smallint[]), CAST(:response_headers AS text[]), CAST(:response_bodies AS bytea[]),
            CAST(:truncated AS boolean[])
        ) AS o (id, webhook_id, fence, attempt, status, failures, next_attempt_after, attempt_id, started_at, duration_ms,
            outcome,
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
        UPDATE deliveries d SET status = 'pending', fence = NULL, failures = o.failures,
            next_attempt_at = clock_timestamp() + o.next_attempt_after,
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
            "webhooks": [item.claimed.webhook_id for item in records],
            "fences": [item.claimed.fence for item in records],
            "attempts": [item.claimed.attempt for item in records],
            "statuses": [item.status for item in records],
            "failures": [item.failures for item in records],
            "waits": [item.next_attempt_after for item in records],
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


async def load_webhooks(connection: AsyncConnection, ids: Sequence[UUID]) -> Sequence[Any]:
    """Return what sending needs of these webhooks: configuration and sealed secrets, newest first."""
    rows = await connection.execute(
        text(
            """
            SELECT w.id, w.tenant_id, w.revision, w.name, w.url, w.format, w.crm_signature,
                w.signature_header, w.sealed_headers, w.retry_delays_seconds, w.timeout_seconds, w.max_in_flight,
                w.rate_per_second, w.ordered, w.enabled_at, w.recovered_at,
                s.ids AS secret_ids, s.sealed AS sealed_secrets, s.expiries AS secret_expiries,
                s.kinds AS secret_kinds
            FROM webhooks w CROSS JOIN LATERAL (
                SELECT array_agg(id ORDER BY id DESC) AS ids, array_agg(sealed_secret ORDER BY id DESC) AS sealed,
                    array_agg(expires_at ORDER BY id DESC) AS expiries,
                    array_agg(kind ORDER BY id DESC) AS kinds
                FROM webhook_secrets WHERE webhook_id = w.id AND (expires_at IS NULL OR expires_at > now())
            ) s
            WHERE w.id = ANY(CAST(:ids AS uuid[]))
            """
        ),
        {"ids": list(ids)},
    )
    return rows.all()
