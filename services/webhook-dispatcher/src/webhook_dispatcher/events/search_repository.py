"""SQL of the list of events, newest first or as they became settled, within a bounded look at what there is.

A page looks at a window of events and gives what of them fits; where the window ends before the page is full, the page ends there
too, and the next one goes on from it.
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
from webhook_dispatcher.events.repository import EVENT_COLUMNS, StoredEvent
from webhook_dispatcher.events.settled import SettledPosition
from webhook_dispatcher.walk_repository import walk_indexes

_LAST = UUID(int=(1 << 128) - 1)
WINDOW = 5_000
"""Events that one page looks at."""

_CONDITIONS = {
    "type": "type = :type",
    "q": "strpos(lower(concat_ws(' ', event_id, type, subject)), lower(:q)) > 0",
}
_SETTLED_CONDITIONS = {**_CONDITIONS, "subject": "subject = :subject", "from": "id >= :from", "to": "id < :to"}

# Ranges of rows, see ``walk_repository``.
_OF_REALM = """
    (tenant_id, environment, id) >= (:tenant_id, :environment, :start)
    AND (tenant_id, environment, id) < (:tenant_id, :environment, :end)
    ORDER BY tenant_id DESC, environment DESC, id DESC"""
_OF_SUBJECT = """
    (tenant_id, environment, subject, id) >= (:tenant_id, :environment, :subject, :start)
    AND (tenant_id, environment, subject, id) < (:tenant_id, :environment, :subject, :end)
    AND subject IS NOT NULL ORDER BY tenant_id DESC, environment DESC, subject DESC, id DESC"""
_SETTLED = """
    (tenant_id, environment, transaction, id) > (:tenant_id, :environment, :after_transaction, :after_id)
    AND (tenant_id, environment, transaction) < (:tenant_id, :environment, settled_before())
    ORDER BY tenant_id, environment, transaction, id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEvents:
    """A page, and the last event that its window reached; None where it reached the end."""

    events: Sequence[StoredEvent]
    reach: SettledPosition | None


async def find_page(
    session: AsyncSession, *, realm: Realm, filters: Mapping[str, Any], before: UUID | None, limit: int
) -> FoundEvents:
    """Return up to ``limit`` events of the realm, newest first.

    ``filters``, of which None is none: type, subject, event (the row of one), from, to, q.
    """
    wanted = {name: value for name, value in filters.items() if value is not None}
    start = typeids.lower_bound(wanted["from"]) if "from" in wanted else UUID(int=0)
    end = min(before or _LAST, typeids.lower_bound(wanted["to"]) if "to" in wanted else _LAST)
    if "event" in wanted:
        only: UUID = wanted["event"]
        start, end = max(start, only), min(end, UUID(int=only.int + 1))
    return await _find(
        session,
        realm=realm,
        walked=_OF_SUBJECT if "subject" in wanted else _OF_REALM,
        order="id DESC",
        conditions=[condition for name, condition in _CONDITIONS.items() if name in wanted],
        limit=limit,
        values={**wanted, "start": start, "end": end},
    )


async def find_settled(
    session: AsyncSession, *, realm: Realm, filters: Mapping[str, Any], after: SettledPosition, limit: int
) -> FoundEvents:
    """Return up to ``limit`` events of the realm after a position, in the order in which they became settled.

    An id is taken before its commit, so in the order of ids an event could appear behind a reader. Here only transactions
    older than every one that still runs are read: nothing can appear among them any more, and what is committed later has
    a greater number. A transaction that runs long makes readers wait for what came after it; it makes them lose nothing.
    """
    wanted = {name: value for name, value in filters.items() if value is not None}
    return await _find(
        session,
        realm=realm,
        walked=_SETTLED,
        order="transaction, id",
        conditions=[condition for name, condition in _SETTLED_CONDITIONS.items() if name in wanted],
        limit=limit,
        values={**wanted, "after_transaction": after.transaction, "after_id": after.id},
    )


async def _find(
    session: AsyncSession,
    *,
    realm: Realm,
    walked: str,
    order: str,
    conditions: Sequence[str],
    limit: int,
    values: Mapping[str, Any],
) -> FoundEvents:
    statement = text(
        f"""
        WITH candidates AS MATERIALIZED (
            SELECT *, row_number() OVER (ORDER BY {order}) AS number FROM (
                SELECT {EVENT_COLUMNS} FROM events WHERE {walked} LIMIT :window
            ) walked
        ), page AS (
            SELECT {EVENT_COLUMNS}, number FROM candidates WHERE {" AND ".join(conditions) or "true"} ORDER BY number LIMIT :limit
        )
        SELECT page.*, ends.transaction AS reach_transaction, ends.id AS reach_id FROM (SELECT 1) one
        LEFT JOIN (SELECT transaction, id FROM candidates WHERE number = :window) ends ON true
        LEFT JOIN page ON true ORDER BY page.number
        """  # noqa: S608 - constants
    )
    bound = {
        **{
            name: typeids.lower_bound(value) if isinstance(value, datetime) else value for name, value in values.items()
        },
        "tenant_id": realm.tenant_id,
        "environment": realm.environment,
        # Without a condition of its own the page is full as soon as the window holds it.
        "window": WINDOW if conditions else limit,
        "limit": limit,
    }
    await walk_indexes(session)
    rows = (await session.execute(statement, bound)).mappings().all()
    odd = {"number", "reach_transaction", "reach_id"}
    events = [
        StoredEvent(**{name: value for name, value in row.items() if name not in odd})
        for row in rows
        if row["id"] is not None
    ]
    reach = None
    if rows[0]["reach_id"] is not None:
        reach = SettledPosition(transaction=rows[0]["reach_transaction"], id=rows[0]["reach_id"])
    return FoundEvents(events=events, reach=reach)
