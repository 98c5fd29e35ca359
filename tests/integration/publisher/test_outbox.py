"""The outbox: an event exists if the transaction does, and is accepted once whatever dies in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy import text

from shared.database import Database
from shared.principals import Realm
from shared.publisher import Outbox, OutboxRelay
from shared.publisher.outbox import BATCH_MAX, Publisher
from support.dispatcher_service import DispatcherService, Tenant
from support.engine import until
from support.publishing import Noting, http_publisher, payout

_HOUR_SECONDS = 3600.0


@asynccontextmanager
async def _relaying(
    database: Database, publisher: Publisher, *, look_seconds: float = 0.05
) -> AsyncIterator[tuple[OutboxRelay, "asyncio.Task[None]"]]:
    relay = OutboxRelay(database.engine, publisher, look_seconds=look_seconds)
    task = asyncio.create_task(relay.run())
    try:
        yield relay, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _kept(database: Database) -> tuple[int, int]:
    """Return how many events wait, and how many were refused."""
    statement = text("SELECT count(*) - count(refused_at), count(refused_at) FROM outbox_events")
    async with database.connection() as connection:
        waiting, refused = (await connection.execute(statement)).one()
    return int(waiting), int(refused)


async def _add(database: Database, realm: Realm, *numbers: int, wake: Callable[[], None] | None = None) -> None:
    outbox = Outbox(wake)
    for number in numbers:
        async with database.transaction() as session:
            await outbox.add(session, payout(realm, number))


async def test_an_event_comes_and_goes_with_its_transaction(database: Database, realm: Realm) -> None:
    """Rolled back, it never was; committed, it is published."""
    publisher = Noting()
    async with database.transaction() as session:
        await Outbox().add(session, payout(realm, 1))
        await session.rollback()
    await _add(database, realm, 2)
    async with _relaying(database, publisher):
        await until(lambda: _is_empty(database), what="the outbox is empty")
    assert publisher.taken == ["p-2"]


async def _is_empty(database: Database) -> bool:
    return await _kept(database) == (0, 0)


async def test_a_commit_wakes_the_relay(database: Database, realm: Realm) -> None:
    """In the same process nobody waits for the next look, here an hour away."""
    publisher = Noting()
    async with _relaying(database, publisher, look_seconds=_HOUR_SECONDS) as (relay, _):
        await _add(database, realm, 1, wake=relay.wake)
        await until(lambda: publisher.has("p-1"), what="the event is published")
        await _add(database, realm, 2, wake=relay.wake)
        await until(lambda: publisher.has("p-1", "p-2"), what="the next one too")


async def test_events_wait_while_the_dispatcher_is_away(database: Database, realm: Realm) -> None:
    """None is lost, and all come in the order of their transactions."""
    publisher = Noting()
    publisher.down = True
    numbers = range(BATCH_MAX + 50)
    async with _relaying(database, publisher):
        await _add(database, realm, *numbers)
        assert await _kept(database) == (len(numbers), 0)
        publisher.down = False
        await until(lambda: _is_empty(database), what="the outbox is empty")
    assert publisher.taken == [f"p-{number}" for number in numbers]


async def test_a_relay_killed_between_answer_and_forgetting_doubles_nothing(
    database: Database, service: DispatcherService, tenant: Tenant, realm: Realm
) -> None:
    """The next one sends it again, and the dispatcher knows it."""
    await _add(database, realm, *range(20))
    async with http_publisher(service) as (publisher, between):
        async with database.connection() as connection:
            # Nothing can be deleted while we hold this, as if the relay died right there.
            await connection.execute(text("LOCK TABLE outbox_events IN SHARE MODE"))
            async with _relaying(database, publisher):
                await between.until_requests(1)
        async with _relaying(database, publisher):
            await until(lambda: _is_empty(database), what="the outbox is empty")
        assert between.requests == 2
    assert (await tenant.ledger())["accepted"] == 20


async def test_one_relay_works_and_another_takes_over(database: Database, realm: Realm) -> None:
    """However many run: each event is sent once, and the end of one stops nothing."""
    publishers = [Noting() for _ in range(3)]
    async with (
        _relaying(database, publishers[0]) as first,
        _relaying(database, publishers[1]) as second,
        _relaying(database, publishers[2]) as third,
    ):
        await _add(database, realm, *range(5))
        await until(lambda: _is_empty(database), what="the outbox is empty")
        (working,) = (number for number, publisher in enumerate(publishers) if publisher.taken)
        (first, second, third)[working][1].cancel()
        await _add(database, realm, 5)
        await until(lambda: _is_empty(database), what="another one took over")
    assert sorted(event for publisher in publishers for event in publisher.taken) == [f"p-{n}" for n in range(6)]
    assert len(publishers[working].taken) == 5


async def test_a_relay_that_ends_gives_up_its_turn_to_other_processes(database: Database, realm: Realm) -> None:
    """Its connection goes with it: in a pool that lives on, it would keep all others out for ever."""
    first, second = Noting(), Noting()
    async with _relaying(database, first):
        await _add(database, realm, 1)
        await until(lambda: _is_empty(database), what="the first relay works")
    elsewhere = Database.open(
        database.engine.url.render_as_string(hide_password=False), application_name="another process"
    )
    async with _relaying(elsewhere, second):
        await _add(database, realm, 2)
        await until(lambda: _is_empty(database), what="the second relay works")
    await elsewhere.aclose()
    assert (first.taken, second.taken) == (["p-1"], ["p-2"])


async def test_a_refused_event_is_kept_with_the_reason_and_holds_up_no_other(
    database: Database, service: DispatcherService, tenant: Tenant, realm: Realm
) -> None:
    """Somebody has to look at it; it is never dropped."""
    async with database.transaction() as session:
        for event in (payout(realm, 1), payout(realm, 2, type="no.such.type"), payout(realm, 3)):
            await Outbox().add(session, event)
    async with http_publisher(service) as (publisher, _), _relaying(database, publisher):
        await until(lambda: _refused(database), what="the other two are published")
    assert (await tenant.ledger())["accepted"] == 2
    async with database.connection() as connection:
        refusal = await connection.scalar(text("SELECT refusal FROM outbox_events"))
    assert '"code":"unknown_event_type"' in refusal


async def _refused(database: Database) -> bool:
    return await _kept(database) == (0, 1)


async def test_a_database_that_ends_all_sessions_stops_no_relay(database: Database, realm: Realm) -> None:
    """The relay comes back, with the lock."""
    publisher = Noting()
    async with _relaying(database, publisher):
        await _add(database, realm, 1)
        await until(lambda: _is_empty(database), what="the first is published")
        async with database.connection() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        await _add(database, realm, 2)
        await until(lambda: publisher.has("p-1", "p-2"), what="the second is published")
