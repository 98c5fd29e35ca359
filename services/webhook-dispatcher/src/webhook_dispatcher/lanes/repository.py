"""All SQL of sending: claiming due deliveries, and what sending needs; outcomes in ``record_repository``.

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
