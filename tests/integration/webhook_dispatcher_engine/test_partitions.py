"""Each day has its partition, whatever stands in the default one, and one day's trouble is no other's."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from shared import typeids
from shared.database import Database
from support.engine import Dispatcher, event, running_engine
from webhook_dispatcher.maintenance.partitions import DAYS_AHEAD, Partitions

_INSERT_EVENT = """
    INSERT INTO events (id, tenant_id, environment, event_id, type, occurred_at, payload, matched)
    VALUES ($1, $1, 'live', 'far', 'payment.succeeded', now(), 'x', 0)
"""
_INSERT_HISTORY = """
    INSERT INTO delivery_history (id, webhook_id, event, tenant_id, environment, status, attempts)
    VALUES ($1, $1, $1, $1, 'live', 'delivered', 1)
"""
_INSERT_ATTEMPT = """
    INSERT INTO attempts (delivery_id, number, id, started_at, outcome) VALUES ($1, 1, $1, now(), 'delivered')
"""
_TABLES = ("events", "delivery_history", "attempts")
_ROWS = {
    "events": "SELECT tableoid::regclass::text AS home, id AS key, to_jsonb(events) AS row FROM events ORDER BY id",
    "delivery_history": "SELECT tableoid::regclass::text AS home, id AS key, to_jsonb(delivery_history) AS row"
    " FROM delivery_history ORDER BY id",
    "attempts": "SELECT tableoid::regclass::text AS home, delivery_id AS key, to_jsonb(attempts) AS row"
    " FROM attempts ORDER BY delivery_id",
}


class _Upkeep:
    """Partitions with their own registry."""

    def __init__(self, database: Database) -> None:
        self._registry = CollectorRegistry()
        self._partitions = Partitions(database, self._registry)

    async def make(self, today: date) -> int:
        return await self._partitions.make(today=today)

    @property
    def missing(self) -> float | None:
        return self._registry.get_sample_value("causeway_partitions_missing")


@pytest.fixture
async def upkeep(dispatcher: Dispatcher) -> AsyncIterator[_Upkeep]:
    """Return the upkeep of the dispatcher's database."""
    database = Database.open(dispatcher.settings.database_url, application_name="test")
    yield _Upkeep(database)
    await database.aclose()


def _noon(day: date) -> UUID:
    return typeids.lower_bound(datetime.combine(day, time(12), tzinfo=UTC))


async def _homes(dispatcher: Dispatcher, table: str) -> dict[UUID, str]:
    """Return the partition that holds each row."""
    return {row["key"]: row["home"] for row in await dispatcher.database.fetch(_ROWS[table])}


async def _contents(dispatcher: Dispatcher) -> list[str]:
    """Return every row of the three tables."""
    return [row["row"] for table in _TABLES for row in await dispatcher.database.fetch(_ROWS[table])]


async def test_rows_of_the_default_partition_move_into_their_day(dispatcher: Dispatcher, upkeep: _Upkeep) -> None:
    """Those of the day that is made, with everything in them; those of other days stay, and nothing is lost."""
    today = datetime.now(UTC).date()
    day = today + timedelta(days=DAYS_AHEAD + 1)
    moving, staying = _noon(day), _noon(day + timedelta(days=300))
    for statement in (_INSERT_EVENT, _INSERT_HISTORY, _INSERT_ATTEMPT):
        await dispatcher.database.execute(statement, moving)
        await dispatcher.database.execute(statement, staying)
    before = await _contents(dispatcher)
    for table in _TABLES:
        assert set((await _homes(dispatcher, table)).values()) == {f"{table}_default"}

    assert await upkeep.make(today + timedelta(days=1)) == 0
    assert upkeep.missing == 0
    for table in _TABLES:
        assert await _homes(dispatcher, table) == {moving: f"{table}_{day:%Y%m%d}", staying: f"{table}_default"}
    assert await _contents(dispatcher) == before
    indexes = "SELECT count(*) FROM pg_index WHERE indrelid = $1::text::regclass AND indisvalid"
    made, usual = [
        await dispatcher.database.fetchval(indexes, f"events_{at:%Y%m%d}") for at in (day, today + timedelta(days=1))
    ]
    assert made == usual
    assert await upkeep.make(today + timedelta(days=1)) == 0


async def test_a_day_that_cannot_be_made_stops_no_other(dispatcher: Dispatcher, upkeep: _Upkeep) -> None:
    """It is counted, and made once it can be."""
    today = datetime.now(UTC).date()
    day = today + timedelta(days=DAYS_AHEAD + 1)
    await dispatcher.database.execute(
        f"CREATE TABLE in_the_way PARTITION OF events FOR VALUES FROM (day_floor('{day}')) TO ('{_noon(day)}')"
    )
    start = today + timedelta(days=3)
    assert await upkeep.make(start) == 1
    assert upkeep.missing == 1
    for ahead, table in [(0, "delivery_history"), (0, "attempts"), (1, "events"), (2, "events"), (2, "attempts")]:
        name = f"{table}_{day + timedelta(days=ahead):%Y%m%d}"
        assert await dispatcher.database.fetchval("SELECT to_regclass($1) IS NOT NULL", name), name
    await dispatcher.database.execute("DROP TABLE in_the_way")
    assert await upkeep.make(start) == 0
    assert upkeep.missing == 0


async def test_a_worker_makes_partitions_before_it_takes_events_in(dispatcher: Dispatcher) -> None:
    """So a stack that stood still for days writes to the day's own partition, and what the default took meanwhile moves there."""
    home = f"events_{datetime.now(UTC):%Y%m%d}"
    await dispatcher.database.execute(f"DROP TABLE {home}")
    hook = await dispatcher.new_hook()
    await dispatcher.publish(event(1, id="before"))
    assert await dispatcher.database.fetchval("SELECT count(*) FROM events_default") == 1
    await dispatcher.add(event(2, id="after"))
    async with running_engine(dispatcher.settings):
        await hook.until_received(2)
    found = await dispatcher.database.fetch("SELECT event_id, tableoid::regclass::text AS home FROM events")
    assert sorted((row["event_id"], row["home"]) for row in found) == [("after", home), ("before", home)]
