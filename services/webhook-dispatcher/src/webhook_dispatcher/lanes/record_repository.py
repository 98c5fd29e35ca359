"""All SQL of recording what became of attempts. Each call is one statement.

An outcome is written only under the fence and the attempt of its claim.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from webhook_dispatcher.lanes.repository import Record

# Only a delivery that is in flight has a fence, so the fence says it all; naming the status as well would lead the planner to
# the small index of what is in flight, and to comparing each of those with each outcome.
_ENDED = """
    ended AS (
        DELETE FROM deliveries d USING outcome o
        WHERE d.id = o.id AND d.fence = o.fence AND d.attempts = o.attempt AND o.status <> 'pending'
        RETURNING d.id, d.webhook_id, d.event, d.tenant_id, d.environment, d.attempts, o.status, o.response_status,
            o.error_code
    ), kept AS (
        INSERT INTO delivery_history
            (id, webhook_id, event, tenant_id, environment, status, attempts, last_status, last_error)
        SELECT id, webhook_id, event, tenant_id, environment, status, attempts, response_status, error_code FROM ended
    )
"""
_NOTED = """
    noted AS (
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
# A retry for a webhook that was deleted meanwhile has nothing to wait for: it ends here.
_RECORD = text(
    f"""
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
    ), {_ENDED}, again AS (
        UPDATE deliveries d SET status = 'pending', fence = NULL, failures = o.failures,
            next_attempt_at = clock_timestamp() + o.next_attempt_after,
            last_status = o.response_status, last_error = o.error_code
        FROM outcome o
        WHERE d.id = o.id AND d.fence = o.fence AND d.attempts = o.attempt AND o.status = 'pending'
        RETURNING d.id
    ), recorded AS (
        SELECT id FROM ended UNION ALL SELECT id FROM again
    ), {_NOTED}
    """  # noqa: S608 - constants
)
# Nearly always everything ends; a statement without the other steps costs a small batch less.
_RECORD_ENDED = text(
    f"""
    WITH outcome AS MATERIALIZED (
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:fences AS bigint[]), CAST(:attempts AS integer[]), CAST(:statuses AS text[]),
            CAST(:attempt_ids AS uuid[]), CAST(:started AS timestamptz[]), CAST(:durations AS real[]),
            CAST(:outcomes AS text[]), CAST(:errors AS text[]), CAST(:urls AS text[]), CAST(:request_headers AS text[]),
            CAST(:request_bodies AS bytea[]),
            CAST(:response_statuses AS smallint[]), CAST(:response_headers AS text[]), CAST(:response_bodies AS bytea[]),
            CAST(:truncated AS boolean[])
        ) AS o (id, fence, attempt, status, attempt_id, started_at, duration_ms, outcome, error_code, url, request_headers,
            request_body, response_status, response_headers, response_body, truncated)
    ), {_ENDED}, recorded AS (
        SELECT id FROM ended
    ), {_NOTED}
    """  # noqa: S608 - constants
)


async def record(connection: AsyncConnection, records: Sequence[Record]) -> frozenset[UUID]:
    """Write outcomes with their attempts; returns the deliveries recorded. Others were fenced off, or recorded before.

    Safe to repeat after a lost connection: what was written carries no fence any more.
    """
    values: dict[str, Any] = {
        "ids": [item.claimed.id for item in records],
        "fences": [item.claimed.fence for item in records],
        "attempts": [item.claimed.attempt for item in records],
        "statuses": [item.status for item in records],
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
    }
    statement = _RECORD_ENDED
    if any(item.status == "pending" for item in records):
        statement = _RECORD
        values |= {
            "webhooks": [item.claimed.webhook_id for item in records],
            "failures": [item.failures for item in records],
            "waits": [item.next_attempt_after for item in records],
        }
    return frozenset((await connection.execute(statement, values)).scalars())
