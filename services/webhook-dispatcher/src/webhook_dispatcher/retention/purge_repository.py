"""SQL that removes history: whole days by their partitions, single events with all that belongs to them.

What is outstanding keeps its event, and with it all deliveries of that event: so the ledger balances at any moment. A resend
takes its delivery out of ``delivery_history`` in its own transaction; each statement here either excludes it or notices it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.walk_repository import walk_indexes

PARENTS = ("events", "delivery_history", "attempts")
START = UUID(int=0)
# A range of rows, see ``walk_repository``.
_OF_REALM = """
    (tenant_id, environment, id) > (:tenant_id, :environment, :after)
    AND (tenant_id, environment, id) < (:tenant_id, :environment, :before)
    ORDER BY tenant_id, environment, id"""


class TakenMeanwhileError(Exception):
    """A delivery was sent again while its event was being removed: nothing of the batch may be, roll it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What one batch did; ``position`` None at the end."""

    events: int
    position: UUID | None


async def find_days(session: AsyncSession, *, attached: bool) -> Sequence[date]:
    """Return the days that have partitions, oldest first; or those whose tables were detached and not dropped yet."""
    statement = text(
        """
        SELECT DISTINCT right(c.relname, 8) AS day FROM pg_class c
        WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
          AND c.relname ~ '^(events|delivery_history|attempts)_[0-9]{8}$'
          AND EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = c.oid) = :attached
        ORDER BY day
        """
    )
    days = (await session.execute(statement, {"attached": attached})).scalars()
    return [date(int(day[:4]), int(day[4:6]), int(day[6:])) for day in days]


async def detach_day(session: AsyncSession, day: date, *, lock_timeout_ms: int) -> bool:
    """Detach a day's partitions, unless a delivery of that day is outstanding; returns whether it did.

    Everything that uses history waits meanwhile, but not for long: raises LockNotAvailable after ``lock_timeout_ms`` of waiting.
    ``CONCURRENTLY`` cannot be had: there is a default partition.
    """
    await session.execute(text(f"SET LOCAL lock_timeout = {lock_timeout_ms:d}"))
    await session.execute(text("SET LOCAL statement_timeout = '5s'"))
    # Who takes a delivery out of history holds its table until the commit. With this lock nobody does, and all have committed.
    await session.execute(text("LOCK TABLE ONLY events, ONLY delivery_history, ONLY attempts IN ACCESS EXCLUSIVE MODE"))
    if await has_outstanding(session, day):
        return False
    for parent in PARENTS:
        child = _child(parent, day)
        if (await session.execute(text("SELECT to_regclass(:child) IS NOT NULL"), {"child": child})).scalar_one():
            await session.execute(text(f"ALTER TABLE {parent} DETACH PARTITION {child}"))
    return True


async def has_outstanding(session: AsyncSession, day: date) -> bool:
    """Tell whether a delivery of a day is outstanding."""
    statement = text(
        "SELECT EXISTS (SELECT 1 FROM deliveries"
        " WHERE id >= day_floor(CAST(:day AS date)) AND id < day_floor(CAST(:day AS date) + 1))"
    )
    return bool((await session.execute(statement, {"day": day})).scalar_one())


async def forget_keys(session: AsyncSession, day: date, *, after: UUID, limit: int) -> UUID | None:
    """Forget the ids of up to ``limit`` events of a detached day; returns where to go on, None at the end."""
    child = _child("events", day)
    if not (await session.execute(text("SELECT to_regclass(:child) IS NOT NULL"), {"child": child})).scalar_one():
        return None
    statement = text(
        f"""
        WITH old AS MATERIALIZED (
            SELECT id, tenant_id, environment, event_id FROM {child} WHERE id > :after ORDER BY id LIMIT :limit
        ), forgotten AS (
            DELETE FROM event_keys k USING old
            WHERE k.tenant_id = old.tenant_id AND k.environment = old.environment AND k.event_id = old.event_id AND k.id = old.id
        )
        SELECT count(*) AS found, (SELECT id FROM old ORDER BY id DESC LIMIT 1) AS last FROM old
        """  # noqa: S608 - the name is made of a date
    )
    row = (await session.execute(statement, {"after": after, "limit": limit})).one()
    return row.last if row.found == limit else None


async def drop_day(session: AsyncSession, day: date) -> None:
    """Drop a day's detached tables."""
    await session.execute(text("SET LOCAL lock_timeout = '1s'"))
    for parent in PARENTS:
        child = _child(parent, day)
        # One that was made and attached anew is none of ours.
        detached = text(
            "SELECT count(*) FROM pg_class c WHERE c.oid = to_regclass(:child) AND NOT EXISTS"
            " (SELECT 1 FROM pg_inherits WHERE inhrelid = c.oid)"
        )
        if (await session.execute(detached, {"child": child})).scalar_one():
            await session.execute(text(f"DROP TABLE {child}"))


async def purge(session: AsyncSession, *, realm: Realm | None, before: datetime, after: UUID, limit: int) -> Purged:
    """Remove up to ``limit`` events that came before a moment, of one realm or of all, with deliveries, attempts and keys.

    Events with an outstanding delivery stay whole. Raises TakenMeanwhileError.
    """
    walked = _OF_REALM if realm else "id > :after AND id < :before ORDER BY id"
    statement = text(
        f"""
        WITH scanned AS MATERIALIZED (
            SELECT id, tenant_id, environment, event_id FROM events WHERE {walked} LIMIT :limit
        ), old AS MATERIALIZED (
            SELECT * FROM scanned s WHERE NOT EXISTS (
                SELECT 1 FROM deliveries d
                WHERE d.id >= leading_floor(s.id) AND d.id <= leading_ceiling(s.id) AND d.event = s.id OFFSET 0
            )
        ), expected AS MATERIALIZED (
            SELECT h.id FROM old CROSS JOIN LATERAL (
                SELECT id FROM delivery_history
                WHERE id >= leading_floor(old.id) AND id <= leading_ceiling(old.id) AND event = old.id
                  AND id > :after_floor AND id < :before OFFSET 0
            ) h
        ), ended AS (
            DELETE FROM delivery_history WHERE id = ANY (ARRAY(SELECT id FROM expected))
              AND id > :after_floor AND id < :before RETURNING id
        ), noted AS (
            DELETE FROM attempts WHERE delivery_id = ANY (ARRAY(SELECT id FROM expected))
              AND delivery_id > :after_floor AND delivery_id < :before
        ), forgotten AS (
            DELETE FROM event_keys k USING old
            WHERE k.tenant_id = old.tenant_id AND k.environment = old.environment AND k.event_id = old.event_id AND k.id = old.id
        ), gone AS (
            DELETE FROM events WHERE id = ANY (ARRAY(SELECT id FROM old)) AND id > :after AND id < :before RETURNING id
        )
        SELECT (SELECT count(*) FROM expected) AS expected, (SELECT count(*) FROM ended) AS ended,
            (SELECT count(*) FROM gone) AS events, (SELECT count(*) FROM scanned) AS scanned,
            (SELECT id FROM scanned ORDER BY id DESC LIMIT 1) AS last
        """  # noqa: S608 - constants
    )
    values = {
        "after": after,
        "after_floor": UUID(int=after.int >> 64 << 64),
        "before": typeids.lower_bound(before),
        "limit": limit,
        **({"tenant_id": realm.tenant_id, "environment": realm.environment} if realm else {}),
    }
    await walk_indexes(session)
    row = (await session.execute(statement, values)).one()
    if row.ended != row.expected:
        raise TakenMeanwhileError
    return Purged(events=row.events, position=row.last if row.scanned == limit else None)


def _child(parent: str, day: date) -> str:
    return f"{parent}_{day:%Y%m%d}"
