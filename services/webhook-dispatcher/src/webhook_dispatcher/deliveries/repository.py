"""All SQL of deliveries as callers see them: one, its attempts, resend, cancel. Lists: ``search_repository``; workers: ``lanes``.

A delivery is one row of ``deliveries`` while it is outstanding, and one of ``delivery_history`` when it has ended.
``held`` is not stored: it is a pending delivery of a webhook that is disabled or has its breaker open, which so costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm

Status = Literal["pending", "held", "in_flight", "delivered", "failed", "cancelled"]
OUTSTANDING: frozenset[str] = frozenset({"pending", "held", "in_flight"})

# Of a delivery ``d`` and its webhook ``w``: the status as it is shown.
SHOWN_STATUS = """
    CASE WHEN d.status IN ('pending', 'blocked')
        THEN CASE WHEN w.status = 'disabled' OR w.breaker_opened_at IS NOT NULL THEN 'held' ELSE 'pending' END
        ELSE d.status END
"""

# Both halves have the same columns, and each is ordered by its primary key: Postgres merges them without sorting.
_ALL = f"""
    SELECT d.id, d.webhook_id, d.event, d.tenant_id, d.environment, {SHOWN_STATUS} AS status,
        d.attempts, d.next_attempt_at, NULL::timestamptz AS finished_at, d.last_status, d.last_error
    FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
    UNION ALL
    SELECT id, webhook_id, event, tenant_id, environment, status, attempts, NULL, finished_at, last_status, last_error
    FROM delivery_history
"""  # noqa: S608 - constants
SHOWN_COLUMNS = """a.id, a.webhook_id, a.status, a.attempts, a.next_attempt_at, a.finished_at, a.last_status,
    a.last_error, a.environment, e.event_id, e.type AS event_type, e.subject, e.payload, e.test"""
_SHOWN = f"SELECT {SHOWN_COLUMNS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery with what identifies its event."""

    id: UUID
    webhook_id: UUID
    status: Status
    attempts: int
    next_attempt_at: datetime | None
    finished_at: datetime | None
    last_status: int | None
    last_error: str | None
    environment: Literal["live", "test"]
    event_id: str
    event_type: str
    subject: str | None
    payload: bytes
    test: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One HTTP request made for a delivery."""

    id: UUID
    number: int
    started_at: datetime
    duration_ms: float | None
    outcome: Literal["delivered", "failed", "unknown"]
    error_code: str | None
    url: str | None
    request_headers: list[list[str]] | None
    request_body: bytes | None
    """What was sent where that is not the event's own payload."""
    response_status: int | None
    response_headers: list[list[str]] | None
    response_body: bytes | None
    response_truncated: bool


async def find_of_event(session: AsyncSession, *, realm: Realm, event: UUID) -> Sequence[Delivery]:
    """Return an event's deliveries: neighbours in the primary key, see ``fan_out.delivery_id_of``."""
    first = UUID(int=event.int >> 64 << 64)
    statement = text(
        f"{_SHOWN} FROM ({_ALL}) a JOIN events e ON e.id = a.event"
        " WHERE a.id >= :first AND a.id <= :last AND a.event = :event"
        " AND a.tenant_id = :tenant_id AND a.environment = :environment ORDER BY a.id"
    )
    values = {
        "first": first,
        "last": UUID(int=first.int | ((1 << 64) - 1)),
        "event": event,
        "tenant_id": realm.tenant_id,
        "environment": realm.environment,
    }
    return [Delivery(**row._mapping) for row in await session.execute(statement, values)]


async def find(session: AsyncSession, *, realm: Realm, delivery_id: UUID) -> Delivery | None:
    """Return a delivery of the realm."""
    statement = text(
        f"{_SHOWN} FROM ({_ALL}) a JOIN events e ON e.id = a.event"
        " WHERE a.id = :id AND a.tenant_id = :tenant_id AND a.environment = :environment"
    )
    values = {"id": delivery_id, "tenant_id": realm.tenant_id, "environment": realm.environment}
    row = (await session.execute(statement, values)).one_or_none()
    return None if row is None else Delivery(**row._mapping)


async def find_attempts(session: AsyncSession, *, delivery_id: UUID) -> Sequence[Attempt]:
    """Return the attempts of a delivery that the caller was allowed to see, oldest first."""
    statement = text(
        "SELECT id, number, started_at, duration_ms, outcome, error_code, url, request_headers, request_body, response_status,"
        " response_headers, response_body, response_truncated FROM attempts WHERE delivery_id = :id ORDER BY number"
    )
    return [Attempt(**row._mapping) for row in await session.execute(statement, {"id": delivery_id})]


ENDED_COLUMNS = ("id", "webhook_id", "event", "tenant_id", "environment", "attempts", "last_status", "last_error")
"""What a delivery keeps on its way between ``deliveries`` and ``delivery_history``."""


async def is_redacted(session: AsyncSession, *, delivery_id: UUID) -> bool:
    """Tell whether an ended delivery's payload was redacted; until the transaction ends it is not. One outstanding never is."""
    statement = text(
        "SELECT e.redacted_at IS NOT NULL FROM delivery_history h JOIN events e ON e.id = h.event WHERE h.id = :id"
        " FOR SHARE OF e"
    )
    return bool((await session.execute(statement, {"id": delivery_id})).scalar_one_or_none())


async def send_again(session: AsyncSession, *, delivery_id: UUID) -> bool:
    """Make a delivery pending now, from history or from later; False if a request for it is in flight."""
    moved = await session.execute(
        text(
            """
            WITH ended AS (
                DELETE FROM delivery_history WHERE id = :id
                RETURNING id, webhook_id, event, tenant_id, environment, attempts, last_status, last_error
            )
            INSERT INTO deliveries (id, webhook_id, event, tenant_id, environment, attempts, last_status, last_error)
            SELECT id, webhook_id, event, tenant_id, environment, attempts, last_status, last_error FROM ended
            RETURNING id
            """
        ),
        {"id": delivery_id},
    )
    if moved.one_or_none() is not None:
        return True
    hastened = await session.execute(
        text(
            "UPDATE deliveries SET next_attempt_at = now(), failures = 0 WHERE id = :id AND status = 'pending' RETURNING id"
        ),
        {"id": delivery_id},
    )
    return hastened.one_or_none() is not None


async def is_blocked(session: AsyncSession, *, delivery_id: UUID) -> bool:
    """Tell whether a delivery waits for another one of its key."""
    statement = text("SELECT EXISTS (SELECT 1 FROM deliveries WHERE id = :id AND status = 'blocked')")
    return bool(await session.scalar(statement, {"id": delivery_id}))


async def cancel(session: AsyncSession, *, delivery_id: UUID) -> bool:
    """Cancel one delivery; False unless it is pending or held."""
    cancelled = await session.execute(text(_CANCEL.format(condition="id = :id")), {"id": delivery_id})
    return int(cancelled.scalar_one()) == 1


async def cancel_pending_of(session: AsyncSession, *, webhook_id: UUID, limit: int) -> int:
    """Cancel up to ``limit`` of what is pending or held of a webhook; returns how many that were."""
    of_webhook = """id = ANY (ARRAY(
        SELECT id FROM deliveries WHERE webhook_id = :id AND status IN ('pending', 'blocked') LIMIT :limit FOR UPDATE))"""
    cancelled = await session.execute(text(_CANCEL.format(condition=of_webhook)), {"id": webhook_id, "limit": limit})
    return int(cancelled.scalar_one())


_CANCEL = """
    WITH ended AS (
        DELETE FROM deliveries WHERE {condition} AND status IN ('pending', 'blocked')
        RETURNING id, webhook_id, event, tenant_id, environment, attempts, last_status, last_error
    ), kept AS (
        INSERT INTO delivery_history
            (id, webhook_id, event, tenant_id, environment, status, attempts, last_status, last_error)
        SELECT id, webhook_id, event, tenant_id, environment, 'cancelled', attempts, last_status, last_error FROM ended
    )
    SELECT count(*) AS count FROM ended
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCounts:
    """Deliveries by status, the events that owe them, and how many they owe."""

    events: int
    owed: int
    pending: int
    held: int
    in_flight: int
    delivered: int
    failed: int
    cancelled: int


async def count_ledger(
    session: AsyncSession, *, realm: Realm, webhook_id: UUID | None, since: datetime | None, until: datetime | None
) -> LedgerCounts:
    """Count both sides in one snapshot. With ``webhook_id`` the owed side is what was made for that webhook.

    A delivery's id begins with its event's, so one range of ids bounds events and deliveries alike.
    """
    statement = text(
        f"""
        WITH made AS (
            SELECT {SHOWN_STATUS} AS status, d.event
            FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
            WHERE d.tenant_id = :tenant_id AND d.environment = :environment AND d.id >= :since AND d.id < :until
              AND (CAST(:webhook_id AS uuid) IS NULL OR d.webhook_id = :webhook_id)
            UNION ALL
            SELECT status, event FROM delivery_history
            WHERE tenant_id = :tenant_id AND environment = :environment AND id >= :since AND id < :until
              AND (CAST(:webhook_id AS uuid) IS NULL OR webhook_id = :webhook_id)
        ), accepted AS (
            SELECT count(*) AS events, COALESCE(sum(matched), 0) AS owed FROM events
            WHERE tenant_id = :tenant_id AND environment = :environment AND id >= :since AND id < :until
        )
        SELECT
            CASE WHEN CAST(:webhook_id AS uuid) IS NULL THEN accepted.events
                 ELSE (SELECT count(DISTINCT event) FROM made) END AS events,
            CASE WHEN CAST(:webhook_id AS uuid) IS NULL THEN accepted.owed ELSE (SELECT count(*) FROM made) END AS owed,
            (SELECT count(*) FROM made WHERE status = 'pending') AS pending,
            (SELECT count(*) FROM made WHERE status = 'held') AS held,
            (SELECT count(*) FROM made WHERE status = 'in_flight') AS in_flight,
            (SELECT count(*) FROM made WHERE status = 'delivered') AS delivered,
            (SELECT count(*) FROM made WHERE status = 'failed') AS failed,
            (SELECT count(*) FROM made WHERE status = 'cancelled') AS cancelled
        FROM accepted
        """  # noqa: S608 - constants
    )
    row = (
        await session.execute(
            statement,
            {
                "tenant_id": realm.tenant_id,
                "environment": realm.environment,
                "webhook_id": webhook_id,
                "since": typeids.lower_bound(since) if since else UUID(int=0),
                "until": typeids.lower_bound(until) if until else UUID(int=(1 << 128) - 1),
            },
        )
    ).one()
    return LedgerCounts(**{name: int(value) for name, value in row._mapping.items()})
