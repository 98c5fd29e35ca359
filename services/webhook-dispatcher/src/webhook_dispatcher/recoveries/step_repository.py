"""SQL of a recovery's steps, as workers take them.

A delivery is recovered at most once by a recovery: the position moves on in the transaction that moves the deliveries, and what
ended after the recovery was asked for, as what it sent again and failed anew, does not count.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from webhook_dispatcher.deliveries.repository import ENDED_COLUMNS
from webhook_dispatcher.recoveries.repository import (
    ACTIVE,
    ARRAYS,
    COLUMNS,
    OF_TYPE,
    OF_WEBHOOK,
    Recovery,
    index_condition,
)
from webhook_dispatcher.walk_repository import walk_indexes

_ENDED = ", ".join(ENDED_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step did; ``position`` None if nothing is left."""

    resent: int
    skipped: int
    position: UUID | None


async def take_due(session: AsyncSession) -> Recovery | None:
    """Return a recovery whose next step is due, locked until the transaction ends; of a webhook's only the oldest runs."""
    statement = text(
        f"""
        SELECT {COLUMNS} FROM recoveries r WHERE {ACTIVE} AND next_step_at <= statement_timestamp() AND NOT EXISTS (
            SELECT 1 FROM recoveries older WHERE older.webhook_id = r.webhook_id AND older.id < r.id AND older.{ACTIVE}
        )
        ORDER BY next_step_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED
        """  # noqa: S608 - names are ours
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else Recovery(**row._mapping)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookLoad:
    """What a step needs to know of the webhook. ``due``: what is due or in flight, counted up to a limit."""

    state: Literal["enabled", "disabled", "open"]
    rate_per_second: int | None
    due: int


async def find_load(session: AsyncSession, *, webhook_id: UUID, due_max: int) -> WebhookLoad | None:
    """Return the webhook's state; None if it was deleted."""
    statement = text(
        """
        SELECT CASE WHEN w.breaker_opened_at IS NULL THEN w.status ELSE 'open' END AS state, w.rate_per_second, (
            SELECT count(*) FROM (
                (SELECT 1 FROM deliveries WHERE webhook_id = w.id AND status = 'pending' AND LEAST(failures, 1) = 0
                    AND next_attempt_at <= statement_timestamp() LIMIT :due_max)
                UNION ALL (SELECT 1 FROM deliveries WHERE webhook_id = w.id AND status = 'pending' AND LEAST(failures, 1) = 1
                    AND next_attempt_at <= statement_timestamp() LIMIT :due_max)
                UNION ALL (SELECT 1 FROM deliveries WHERE webhook_id = w.id AND status = 'in_flight' LIMIT :due_max)
            ) due
        ) AS due
        FROM webhooks w WHERE w.id = :id AND w.deleted_at IS NULL
        """
    )
    row = (await session.execute(statement, {"id": webhook_id, "due_max": due_max})).one_or_none()
    return None if row is None else WebhookLoad(**row._mapping)


async def take_back(session: AsyncSession, recovery: Recovery, *, batch: int, scan_max: int) -> Step:
    """Move up to ``batch`` of the recovery's next deliveries from history to what is pending, oldest first.

    Looks at no more than ``scan_max`` ended deliveries. An event being redacted meanwhile is waited for, and then skipped.
    """
    statement = text(
        f"""
        WITH scanned AS MATERIALIZED (
            SELECT h.id, h.event, h.status = ANY(:statuses) AND h.finished_at <= :asked_at AS wanted FROM delivery_history h
            WHERE {index_condition(recovery.statuses)} {OF_WEBHOOK.format(after="position")} LIMIT :scan_max
        ), judged AS MATERIALIZED (
            SELECT s.id, s.event FROM scanned s CROSS JOIN LATERAL (SELECT type FROM events WHERE id = s.event OFFSET 0) e
            WHERE s.wanted AND {OF_TYPE} ORDER BY s.id LIMIT :batch
        ), sendable AS MATERIALIZED (
            SELECT j.id FROM judged j CROSS JOIN LATERAL (
                SELECT redacted_at FROM events WHERE id = j.event OFFSET 0 FOR SHARE
            ) e WHERE e.redacted_at IS NULL
        ), moved AS (
            DELETE FROM delivery_history WHERE id = ANY (ARRAY(SELECT id FROM sendable)) AND id > :position AND id < :until
            RETURNING {_ENDED}
        ), made AS (
            INSERT INTO deliveries ({_ENDED}, next_attempt_at)
            SELECT {_ENDED}, clock_timestamp() FROM moved ORDER BY id
            RETURNING id
        )
        SELECT (SELECT count(*) FROM made) AS resent, (SELECT count(*) FROM judged) AS judged,
            (SELECT count(*) FROM scanned) AS scanned,
            (SELECT id FROM judged ORDER BY id DESC LIMIT 1) AS last_judged,
            (SELECT id FROM scanned ORDER BY id DESC LIMIT 1) AS last_scanned
        """  # noqa: S608 - constants
    ).bindparams(*ARRAYS)
    values = {
        "webhook_id": recovery.webhook_id,
        "position": recovery.position,
        "until": typeids.lower_bound(recovery.until),
        "statuses": list(recovery.statuses),
        "event_types": recovery.event_types,
        "asked_at": recovery.created_at,
        "batch": batch,
        "scan_max": scan_max,
    }
    await walk_indexes(session)
    row = (await session.execute(statement, values)).one()
    last_scanned = row.last_scanned if row.scanned == scan_max else None
    position = row.last_judged if row.judged == batch else last_scanned
    return Step(resent=row.resent, skipped=row.judged - row.resent, position=position)


async def note_step(
    session: AsyncSession, recovery: Recovery, *, step: Step, reason: str | None, next_in: timedelta
) -> None:
    """Write down how far the recovery came, and when it goes on."""
    statement = text(
        "UPDATE recoveries SET status = 'running', reason = :reason, resent = resent + :resent, skipped = skipped + :skipped,"
        " position = COALESCE(:position, position), next_step_at = clock_timestamp() + :next_in WHERE id = :id"
    )
    values: dict[str, Any] = {
        "id": recovery.id,
        "reason": reason,
        "resent": step.resent,
        "skipped": step.skipped,
        "position": step.position,
        "next_in": next_in,
    }
    await session.execute(statement, values)
