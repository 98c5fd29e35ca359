"""SQL of the list of deliveries: filters and free text, within a bounded look at what there is.

A page looks at a window of candidates, newest first, and gives what of them fits. Where the window ends before the page is full
the page ends there too, and the next one goes on from it. So a search costs the same however much there is and however little
fits.

Candidates come by an index that leads to few of them: a complete id, the events of a subject, what was not delivered of a webhook
or a realm; or else simply by their age.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.deliveries.repository import OUTSTANDING, SHOWN_COLUMNS, SHOWN_STATUS, Delivery
from webhook_dispatcher.walk_repository import walk_indexes

WINDOW = 5_000
"""Deliveries that one page looks at."""
_EVENTS_MAX = 1_000
_LAST = UUID(int=(1 << 128) - 1)

_OUTSTANDING = f"""
    d.id, d.webhook_id, d.event, d.environment, {SHOWN_STATUS} AS status, d.attempts, d.next_attempt_at,
    NULL::timestamptz AS finished_at, d.last_status, d.last_error"""
_ENDED = """
    d.id, d.webhook_id, d.event, d.environment, d.status, d.attempts, NULL::timestamptz AS next_attempt_at, d.finished_at,
    d.last_status, d.last_error"""
_NOT_DELIVERED = "AND d.status <> 'delivered'"

# A webhook named by a caller counts only if it is the realm's; deleted ones keep their history.
_OF_REALM = "tenant_id = :tenant_id AND environment = :environment"
_WEBHOOK = f"(SELECT id FROM webhooks WHERE id = :webhook_id AND {_OF_REALM})"  # noqa: S608 - constants

# Ranges of rows, see ``walk_repository``.
_ENDED_OF_WEBHOOK = f"""
    (d.webhook_id, d.id) >= ({_WEBHOOK}, :since) AND (d.webhook_id, d.id) < ({_WEBHOOK}, :until)
    {{undelivered}} ORDER BY d.webhook_id DESC, d.id DESC"""
_ENDED_OF_REALM = """
    (d.tenant_id, d.environment, d.id) >= (:tenant_id, :environment, :since)
    AND (d.tenant_id, d.environment, d.id) < (:tenant_id, :environment, :until)
    {undelivered} ORDER BY d.tenant_id DESC, d.environment DESC, d.id DESC"""

# Each half is read from its newest on; where it is cut, nothing older of the other half counts either.
_WALK = """
    WITH share AS MATERIALIZED (
        SELECT GREATEST(:limit, :window / GREATEST(1, count(*))) AS each FROM webhooks w WHERE {webhooks}
    ), ended AS MATERIALIZED (
        SELECT *, row_number() OVER (ORDER BY id DESC) = :window AS last FROM (
            SELECT {ended_columns} FROM delivery_history d WHERE {ended} LIMIT :window
        ) d
    ), outstanding AS MATERIALIZED (
        {outstanding}
    )
"""
_NO_ENDED = "false"
_NO_OUTSTANDING = "SELECT * FROM ended WHERE false"
_WALK_OUTSTANDING = f"""
    SELECT d.*, row_number() OVER (PARTITION BY d.webhook_id ORDER BY d.id DESC) = (SELECT each FROM share) AS last
    FROM webhooks w CROSS JOIN LATERAL (
        SELECT {_OUTSTANDING} FROM deliveries d
        WHERE (d.webhook_id, d.id) >= (w.id, :since) AND (d.webhook_id, d.id) < (w.id, :until)
        ORDER BY d.webhook_id DESC, d.id DESC LIMIT (SELECT each FROM share)
    ) d WHERE {{webhooks}}
"""  # noqa: S608 - constants
_OF_EVENTS = f"""
    WITH wanted AS MATERIALIZED (
        SELECT id, row_number() OVER (ORDER BY id DESC) = :events_max AS last FROM (
            SELECT id FROM events e WHERE {{events}} LIMIT :events_max
        ) e
    ), ended AS MATERIALIZED (
        SELECT d.*, false AS last FROM wanted CROSS JOIN LATERAL (
            SELECT {_ENDED} FROM delivery_history d
            WHERE d.id >= leading_floor(wanted.id) AND d.id <= leading_ceiling(wanted.id) AND d.event = wanted.id
              AND d.id >= :since AND d.id < :until OFFSET 0
        ) d
    ), outstanding AS MATERIALIZED (
        SELECT d.*, false AS last FROM wanted CROSS JOIN LATERAL (
            SELECT {_OUTSTANDING} FROM deliveries d CROSS JOIN LATERAL (
                SELECT status, breaker_opened_at FROM webhooks WHERE id = d.webhook_id OFFSET 0
            ) w
            WHERE d.id >= leading_floor(wanted.id) AND d.id <= leading_ceiling(wanted.id) AND d.event = wanted.id
              AND d.id >= :since AND d.id < :until OFFSET 0
        ) d
        UNION ALL
        SELECT leading_ceiling(id), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true FROM wanted WHERE last
    )
"""  # noqa: S608 - constants
_PAGE = f"""
    , candidates AS MATERIALIZED (
        SELECT * FROM ended UNION ALL SELECT * FROM outstanding
    ), reach AS MATERIALIZED (
        SELECT id FROM candidates WHERE last ORDER BY id DESC LIMIT 1
    ), page AS (
        SELECT {SHOWN_COLUMNS} FROM candidates a CROSS JOIN LATERAL (
            SELECT event_id, type, subject, payload, test FROM events WHERE id = a.event OFFSET 0
        ) e
        WHERE a.id >= COALESCE((SELECT id FROM reach), :since) {{conditions}}
        ORDER BY a.id DESC LIMIT :limit
    )
    SELECT (SELECT id FROM reach) AS reach, page.* FROM (SELECT 1) one LEFT JOIN page ON true ORDER BY page.id DESC
"""  # noqa: S608 - constants
# Of an event and its subject the event is what leads to fewer.
_EVENTS = {
    "event": f"e.id = :event AND e.{_OF_REALM.replace('AND ', 'AND e.')}",
    "subject": """(e.tenant_id, e.environment, e.subject, e.id) >= (:tenant_id, :environment, :subject, leading_floor(:since))
        AND (e.tenant_id, e.environment, e.subject, e.id) <= (:tenant_id, :environment, :subject, leading_ceiling(:until))
        AND e.subject IS NOT NULL
        ORDER BY e.tenant_id DESC, e.environment DESC, e.subject DESC, e.id DESC""",
}
_CONDITIONS = {
    "webhook_id": f"a.webhook_id = {_WEBHOOK}",
    "status": "a.status = :status",
    "event_type": "e.type = :event_type",
    "subject": "e.subject = :subject",
    "q": """(
        strpos(lower(concat_ws(' ', e.event_id, e.type, e.subject, a.last_error)), lower(:q)) > 0
        OR EXISTS (
            SELECT 1 FROM attempts t WHERE t.delivery_id = a.id AND strpos(
                lower(encode(t.response_body, 'escape')), lower(encode(convert_to(:q, 'UTF8'), 'escape'))
            ) > 0
        ))""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page, and the id that its window reached down to; None where it reached the end."""

    deliveries: Sequence[Delivery]
    reach: UUID | None


async def find_page(
    session: AsyncSession, *, realm: Realm, filters: Mapping[str, Any], before: UUID | None, limit: int
) -> Found:
    """Return up to ``limit`` deliveries of the realm before an id, newest first.

    ``filters``, of which None is none: webhook_id, status, event_type, subject, event (the row of one), delivery, from, to, q.
    """
    wanted = {name: value for name, value in filters.items() if value is not None}
    values = {
        "tenant_id": realm.tenant_id,
        "environment": realm.environment,
        "limit": limit,
        # Where everything of the window fits, the page is full as soon as the window holds it.
        "window": WINDOW if {"status", "event_type", "q"} & wanted.keys() else limit,
        "events_max": _EVENTS_MAX,
        **{name: value for name, value in wanted.items() if not isinstance(value, datetime)},
        **_range(wanted, before),
    }
    conditions = "".join(f" AND {condition}" for name, condition in _CONDITIONS.items() if name in wanted)
    statement = text(_candidates(wanted) + _PAGE.format(conditions=conditions))
    await walk_indexes(session)
    rows = (await session.execute(statement, values)).mappings().all()
    found = [
        Delivery(**{name: value for name, value in row.items() if name != "reach"})
        for row in rows
        if row["id"] is not None
    ]
    return Found(deliveries=found, reach=rows[0]["reach"])


def _candidates(wanted: Mapping[str, Any]) -> str:
    """Return the beginning of the statement: what leads to the candidates."""
    by_events = next((condition for name, condition in _EVENTS.items() if name in wanted), None)
    if by_events is not None:
        return _OF_EVENTS.format(events=by_events)
    status, is_of_webhook = wanted.get("status"), "webhook_id" in wanted
    webhooks = f"w.id = {_WEBHOOK}" if is_of_webhook else "w.tenant_id = :tenant_id AND w.environment = :environment"
    ended = _ENDED_OF_WEBHOOK if is_of_webhook else _ENDED_OF_REALM
    has_ended, has_outstanding = status not in OUTSTANDING, status is None or status in OUTSTANDING
    return _WALK.format(
        webhooks=webhooks,
        ended_columns=_ENDED,
        ended=ended.format(undelivered=_NOT_DELIVERED if status in ("failed", "cancelled") else "")
        if has_ended
        else _NO_ENDED,
        outstanding=_WALK_OUTSTANDING.format(webhooks=webhooks) if has_outstanding else _NO_OUTSTANDING,
    )


def _range(wanted: Mapping[str, Any], before: UUID | None) -> dict[str, UUID]:
    """Return the ids from which, and before which, candidates count."""
    since = typeids.lower_bound(wanted["from"]) if "from" in wanted else UUID(int=0)
    until = min(before or _LAST, typeids.lower_bound(wanted["to"]) if "to" in wanted else _LAST)
    if "delivery" in wanted:
        only: UUID = wanted["delivery"]
        return {"since": max(since, only), "until": min(until, UUID(int=min(only.int + 1, _LAST.int)))}
    return {"since": since, "until": until}
