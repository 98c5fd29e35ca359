"""Retention: what is too old goes, whole days by their partitions, and nothing that is outstanding ever loses its event."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from shared import typeids
from shared.access import Realm
from shared.database import Database
from support.engine import Dispatcher, event, running_engine, until
from support.old_events import OldEvent, id_at, make_day, put_event
from support.served_time import served_clock
from webhook_dispatcher.retention import repository, service
from webhook_dispatcher.retention.policy import Policy
from webhook_dispatcher.retention.service import Done, Retention, RetentionSettings

NOW = datetime.now(UTC)
TODAY = NOW.date()
OLD, RECENT = TODAY - timedelta(days=100), TODAY - timedelta(days=20)


def _noon(day: date) -> datetime:
    return datetime.combine(day, time_of_day(12), tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class _Keeper:
    """The dispatcher's history with a webhook of it, and retention over it."""

    dispatcher: Dispatcher
    database: Database
    registry: CollectorRegistry
    retention: Retention
    realm: Realm
    webhook_id: UUID

    async def put(self, day: date, **fields: Any) -> OldEvent:
        return await put_event(
            self.dispatcher.database,
            **{"realm": self.realm, "webhook_id": self.webhook_id, "at": _noon(day), **fields},
        )

    async def set_policy(self, *, days: int | None = None, redact: int | None = None) -> None:
        async with self.database.transaction() as session:
            await repository.put_policy(
                session, Policy(realm=self.realm, retention_days=days, redact_after_days=redact)
            )

    async def run(self) -> Done:
        return await self.retention.run(now=NOW)

    async def left(self, old: OldEvent) -> dict[str, bool]:
        """Tell what is left of an event."""
        tables = {
            "events": ("id", old.id),
            "event_keys": ("id", old.id),
            "delivery_history": ("event", old.id),
            "deliveries": ("event", old.id),
            "attempts": ("delivery_id", old.ended),
        }
        found = {}
        for table, (column, value) in tables.items():
            statement = f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} = $1)"  # noqa: S608 - names of ours
            found[table] = bool(await self.dispatcher.database.fetchval(statement, value))
        return found

    async def tables_of(self, day: date) -> list[str]:
        rows = await self.dispatcher.database.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '%' || $1 ORDER BY 1", f"{day:_%Y%m%d}"
        )
        return [row["relname"] for row in rows]


@pytest.fixture
async def keeper(dispatcher: Dispatcher) -> AsyncIterator[_Keeper]:
    """Return retention over a dispatcher that has partitions of an old and a more recent day."""
    hook = await dispatcher.new_hook()
    for day in (OLD, RECENT):
        await make_day(dispatcher.database, day)
    registry = CollectorRegistry()
    database = Database.open(dispatcher.settings.database_url, application_name="retention", plan_once=True)
    settings = RetentionSettings(history_days=90, rejected_event_days=30, first_match_days=730)
    yield _Keeper(
        dispatcher=dispatcher,
        database=database,
        registry=registry,
        retention=Retention(database, settings, registry),
        realm=Realm(tenant_id=typeids.decode("ten", dispatcher.tenant_id), environment="live"),
        webhook_id=typeids.decode("wh", hook.webhook_id),
    )
    await database.aclose()


GONE = dict.fromkeys(("events", "event_keys", "delivery_history", "deliveries", "attempts"), False)


async def test_an_old_day_goes_with_its_partitions(keeper: _Keeper) -> None:
    """Events, deliveries, attempts and the ids that were recognised; the days within retention stay whole."""
    old, recent = await keeper.put(OLD), await keeper.put(RECENT)
    edge = await keeper.put(TODAY - timedelta(days=89))
    done = await keeper.run()
    assert (done.days_dropped, done.days_kept) == ([OLD], [])
    assert await keeper.left(old) == GONE
    assert await keeper.tables_of(OLD) == []
    assert len(await keeper.tables_of(RECENT)) == 3
    for kept in (recent, edge):
        assert await keeper.left(kept) == {**dict.fromkeys(GONE, True), "deliveries": False}
    assert (await keeper.dispatcher.ledger())["accepted"] == 2
    assert (await keeper.run()).days_dropped == []


async def test_what_is_outstanding_keeps_its_event_and_its_day(keeper: _Keeper) -> None:
    """However old: it is delivered with its payload. What nobody waits for goes one by one meanwhile, and the ledger balances."""
    waiting, both = await keeper.put(OLD, with_="outstanding"), await keeper.put(OLD, with_="both")
    unowed, ended = await keeper.put(OLD, with_="nothing"), await keeper.put(OLD)
    done = await keeper.run()
    assert (done.days_dropped, done.days_kept, done.events_purged) == ([], [OLD], 2)
    assert keeper.registry.get_sample_value("causeway_retention_days_kept") == 1
    for kept in (waiting, both):
        assert (await keeper.left(kept))["events"]
    assert await keeper.left(both) == dict.fromkeys(GONE, True)
    assert await keeper.left(unowed) == await keeper.left(ended) == GONE
    assert (await keeper.dispatcher.ledger())["matched"] == 3
    [hook] = keeper.dispatcher.receiver.hooks.values()
    async with running_engine(keeper.dispatcher.settings):
        received = await hook.until_received(2)
        await until(lambda: _has_none_outstanding(keeper.dispatcher), what="all has ended")
    assert {item.webhook_id for item in received} == {waiting.event_id, both.event_id}
    assert all(b'"data":{"canary":"data"}' in item.body for item in received)
    assert (await keeper.run()).days_dropped == [OLD]
    assert await keeper.left(both) == GONE


async def _has_none_outstanding(dispatcher: Dispatcher) -> bool:
    return not await dispatcher.database.fetchval("SELECT EXISTS (SELECT 1 FROM deliveries)")


async def test_a_delivery_that_is_just_being_sent_again_keeps_its_day(
    keeper: _Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction still runs when the detachment begins, which sees it once it has its lock."""
    monkeypatch.setattr(service, "LOCK_TIMEOUT_MS", 10_000)
    old = await keeper.put(OLD)
    async with keeper.dispatcher.database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await _send_again(connection, old)
        running = asyncio.create_task(keeper.run())
        await until(lambda: _someone_waits(keeper.dispatcher), what="the detachment waits for its lock")
        await transaction.commit()
    done = await running
    assert (done.days_dropped, done.days_kept) == ([], [OLD])
    assert (await keeper.left(old))["events"]
    assert (await keeper.dispatcher.ledger())["matched"] == 1


async def test_a_long_report_holds_up_a_drop_and_nobody_else(keeper: _Keeper) -> None:
    """While somebody reads history for long, the detachment gives up again and again, and events are accepted all the time."""
    old = await keeper.put(OLD)
    async with keeper.dispatcher.database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch("SELECT count(*) FROM events")
        running = asyncio.create_task(keeper.run())
        published = 0
        while not running.done():
            async with served_clock() as clock:
                await keeper.dispatcher.publish(event(published))
                assert clock.now() < 2
            published += 1
        await transaction.rollback()
    done = await running
    assert (done.days_dropped, done.days_kept, (await keeper.left(old))["events"]) == ([], [OLD], False)
    assert published > 5
    assert (await keeper.run()).days_dropped == [OLD]


async def test_an_event_is_not_purged_under_a_delivery_that_is_sent_again(keeper: _Keeper) -> None:
    """One by one as well: the batch that meets a resend is rolled back, and the event stays."""
    await keeper.run()  # the old day goes, so that nothing waits for its lock later
    await keeper.set_policy(days=10)
    taken, other = await keeper.put(RECENT), await keeper.put(RECENT)
    async with keeper.dispatcher.database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await _send_again(connection, taken)
        running = asyncio.create_task(keeper.run())
        await until(lambda: _someone_waits(keeper.dispatcher), what="the purge waits for the row")
        await transaction.commit()
    assert (await running).events_purged == 1
    left = await keeper.left(taken)
    assert (left["events"], left["deliveries"], left["event_keys"], left["attempts"]) == (True, True, True, True)
    assert await keeper.left(other) == GONE


async def _send_again(connection: Any, old: OldEvent) -> None:
    """Do what a resend does to its delivery."""
    await connection.execute(
        "WITH ended AS (DELETE FROM delivery_history WHERE id = $1 RETURNING id, webhook_id, event, tenant_id, environment)"
        " INSERT INTO deliveries (id, webhook_id, event, tenant_id, environment) SELECT * FROM ended",
        old.ended,
    )


async def _someone_waits(dispatcher: Dispatcher) -> bool:
    return bool(await dispatcher.database.fetchval("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"))


async def test_a_tenant_keeps_for_less(keeper: _Keeper) -> None:
    """Its own history goes earlier, event by event; others' of the same day stays."""
    await keeper.set_policy(days=10)
    other = Realm(tenant_id=typeids.new_id(), environment="live")
    test = Realm(tenant_id=keeper.realm.tenant_id, environment="test")
    own, foreign, tested = [await keeper.put(RECENT, realm=realm) for realm in (keeper.realm, other, test)]
    waiting = await keeper.put(RECENT, with_="both")
    assert (await keeper.run()).events_purged == 1
    assert await keeper.left(own) == GONE
    assert await keeper.left(waiting) == dict.fromkeys(GONE, True)
    for kept in (foreign, tested):
        assert (await keeper.left(kept))["events"]
    assert (await keeper.dispatcher.ledger())["matched"] == 2


async def test_a_run_that_ends_early_is_continued(keeper: _Keeper) -> None:
    """Nothing is done in one long transaction; a run without time does what is quick, and the next ones the rest."""
    await keeper.set_policy(days=10)
    made = [await keeper.put(RECENT) for _ in range(5)]
    assert (await keeper.retention.run(now=NOW, seconds_max=0)).events_purged == 0
    assert (await keeper.run()).events_purged == 5
    assert [await keeper.left(item) for item in made] == [GONE] * 5


async def test_tables_that_a_killed_run_left_detached_are_dropped(keeper: _Keeper) -> None:
    """With the ids of their events."""
    old = await keeper.put(OLD)
    for parent in ("events", "delivery_history", "attempts"):
        await keeper.dispatcher.database.execute(f"ALTER TABLE {parent} DETACH PARTITION {parent}_{OLD:%Y%m%d}")
    assert (await keeper.run()).days_dropped == [OLD]
    assert await keeper.left(old) == GONE
    assert await keeper.tables_of(OLD) == []


async def test_ids_of_odd_days_go_too(keeper: _Keeper) -> None:
    """Those of days without a partition lie in the default one, and are removed one by one."""
    odd = await keeper.put(TODAY - timedelta(days=400))
    assert (await keeper.run()).events_purged == 1
    assert await keeper.left(odd) == GONE


async def test_a_first_match_outlives_its_event_and_not_everything(keeper: _Keeper) -> None:
    """A payout is not started twice because its first event was removed; after two years nobody asks any more."""
    insert = "INSERT INTO first_matches (webhook_id, function, subject, event) VALUES ($1, 'withdrawal', $2, $3)"
    for subject, age in (("young", 100), ("old", 731)):
        at = _noon(TODAY - timedelta(days=age))
        await keeper.dispatcher.database.execute(insert, keeper.webhook_id, subject, id_at(at))
    await keeper.run()
    rows = await keeper.dispatcher.database.fetch("SELECT subject FROM first_matches")
    assert [row["subject"] for row in rows] == ["young"]


async def test_an_id_is_recognised_as_long_as_its_event_is_kept(keeper: _Keeper) -> None:
    """Within retention it is a duplicate; once the event is gone it is new."""
    recent, old = await keeper.put(RECENT), await keeper.put(OLD)
    await keeper.run()
    wanted = [{"id": item.event_id, "type": "payment.succeeded", "data": {}} for item in (recent, old)]
    answer = await keeper.dispatcher.call("POST", "/v1/events", {"events": wanted}, status=202)
    assert (answer["accepted"], answer["duplicates"]) == (1, 1)


async def test_ended_recoveries_and_rejected_events_go(keeper: _Keeper) -> None:
    """With the history they speak of; what runs stays."""
    insert = """
        INSERT INTO recoveries (id, tenant_id, environment, webhook_id, status, since, until, statuses, matched,
            matched_is_minimum, position, created_by, finished_at)
        VALUES ($1, $2, 'live', $3, $4, now(), now(), '{failed}', 0, false, $1, 'x', $5)
    """
    database, at = keeper.dispatcher.database, _noon(OLD)
    for status, finished_at in (("completed", at), ("running", None)):
        await database.execute(insert, id_at(at), keeper.realm.tenant_id, keeper.webhook_id, status, finished_at)
    rejected = """
        INSERT INTO rejected_events (id, fingerprint, tenant_id, environment, source, entry_id, reason, detail,
            default_event_id, body, size_bytes, complete)
        VALUES ($1, $2, $3, $4, 's', '1-0', 'r', 'd', 'evt', 'x', 1, true)
    """
    await keeper.set_policy(redact=10)
    ages = {31: None, 29: None, 11: keeper.realm, 9: keeper.realm}
    for age, realm in ages.items():
        whose = (realm.tenant_id, realm.environment) if realm else (None, None)
        await database.execute(rejected, id_at(_noon(TODAY - timedelta(days=age))), b"%d" % age, *whose)
    await keeper.run()
    assert [row["status"] for row in await database.fetch("SELECT status FROM recoveries")] == ["running"]
    left = await database.fetch("SELECT fingerprint FROM rejected_events ORDER BY id")
    assert [row["fingerprint"] for row in left] == [b"29", b"9"]
