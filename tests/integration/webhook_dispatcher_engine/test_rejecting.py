"""What the intake rejects is in the database before it leaves the stream, whatever becomes of Valkey and of the worker."""

import json

import pytest

from shared.database import Database
from support.engine import Dispatcher, event, running_engine, until
from webhook_dispatcher.intake import stream as stream_module
from webhook_dispatcher.lanes.engine import Engine
from webhook_dispatcher.rejected_events import rejection as rejection_module
from webhook_dispatcher.rejected_events.rejection import Rejection, _storable
from webhook_dispatcher.rejected_events.service import RejectedEvents


async def _rejected(dispatcher: Dispatcher) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = (await dispatcher.call("GET", "/v1/rejected-events"))["data"]
    return rows


async def test_a_rejected_entry_outlives_valkey(dispatcher: Dispatcher, engine: Engine) -> None:
    """It is listed with its reason after the queue was emptied, and replayed once its fault is mended; then it arrives."""
    assert engine
    hook = await dispatcher.new_hook()
    entry_id = await dispatcher.add(event(1, id="bad", data=[1]))
    await until(lambda: _rejected(dispatcher), what="the entry is listed")
    await until(lambda: dispatcher.queue.xlen(f"{dispatcher.settings.stream}:rejected"), what="it is on the stream")
    await dispatcher.queue.flushall()
    (shown,) = await _rejected(dispatcher)
    assert (shown["reason"], shown["entry_id"], shown["event_id"]) == ("invalid_event", entry_id.decode(), "bad")
    told = await dispatcher.call("POST", f"/v1/rejected-events/{shown['id']}/replay", event(1, id="bad"), status=202)
    assert told["ids"] == ["bad"]
    assert (await hook.until_received(1))[0].webhook_id == "bad"


async def test_nothing_rejected_is_acknowledged_before_it_is_kept(dispatcher: Dispatcher) -> None:
    """While the database does not take it, the entry stays on the stream; a worker that stops there loses nothing."""
    stream, group = dispatcher.settings.stream, dispatcher.settings.stream_group
    await dispatcher.add(b"no json")
    async with dispatcher.database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("LOCK TABLE rejected_events IN ACCESS EXCLUSIVE MODE")
        async with running_engine(dispatcher.settings):
            waiting = (
                "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'rejected_events'::regclass)"
            )
            await until(lambda: dispatcher.database.fetchval(waiting), what="the intake waits")
            assert (await dispatcher.queue.xpending(stream, group))["pending"] == 1
            assert await dispatcher.queue.xlen(f"{stream}:rejected") == 0
            await transaction.rollback()
            await until(lambda: dispatcher.queue.xlen(f"{stream}:rejected"), what="the entry is rejected")
    assert await dispatcher.queue.xlen(stream) == 0
    assert await dispatcher.database.fetchval("SELECT count(*) FROM rejected_events WHERE tenant_id IS NULL") == 1


@pytest.mark.usefixtures("engine")
async def test_an_entry_read_twice_is_kept_once(dispatcher: Dispatcher) -> None:
    """As after a lost acknowledgement: it comes again under the same id, and is the same rejected event."""
    entry = json.dumps({"tenant_id": dispatcher.tenant_id, **event(1, id="twice", data=7)}).encode()
    await dispatcher.add(entry, entry_id="5-1")
    await until(lambda: _rejected(dispatcher), what="the entry is listed")
    await dispatcher.queue.flushall()
    await dispatcher.add(entry, entry_id="5-1")
    await dispatcher.add(event(2, id="next", data=7), entry_id="5-2")

    async def both() -> bool:
        return len(await _rejected(dispatcher)) >= 2

    await until(both, what="the second entry is listed")
    assert [row["event_id"] for row in await _rejected(dispatcher)] == ["next", "twice"]


async def test_the_rejected_stream_takes_a_bounded_part_of_valkey(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher of large bad entries fills nothing: the older copies go, and the database has them all."""
    monkeypatch.setattr(stream_module, "REJECTED_BYTES_MAX", 200_000)
    stream = dispatcher.settings.stream
    async with running_engine(dispatcher.settings):
        for number in range(20):
            await dispatcher.add(event(number, id=f"bad-{number}", data={"x": "x" * 50_000}, oops=1))
        await until(lambda: _are_kept(dispatcher, 20), what="all are kept")
        await until(lambda: _has_left(dispatcher), what="all have left the stream")
    copies = await dispatcher.queue.xrange(f"{stream}:rejected")
    assert 1 <= len(copies) < 20
    assert await dispatcher.queue.memory_usage(f"{stream}:rejected") <= 200_000
    assert b"bad-19" in copies[-1][1][b"event"]


async def test_rejecting_goes_on_in_a_full_valkey(dispatcher: Dispatcher) -> None:
    """With no room for the copy the entry leaves all the same: room is made only by what leaves."""
    settings = dispatcher.settings
    await dispatcher.add(event(1, id="bad", data=7))
    await dispatcher.queue.xgroup_create(settings.stream, settings.stream_group, id="0")
    await dispatcher.queue.config_set("maxmemory", "1")
    try:
        async with running_engine(dispatcher.settings):
            await until(lambda: _has_left(dispatcher), what="it has left the stream")
    finally:
        await dispatcher.queue.config_set("maxmemory", "0")
    assert [row["event_id"] for row in await _rejected(dispatcher)] == ["bad"]


async def test_an_entry_that_the_database_never_takes_takes_no_other_with_it(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a batch only that one is missing; odd names of entries, which are whatever a publisher wrote, are kept readably."""
    database = Database.open(dispatcher.settings.database_url, application_name="test")
    names = ["first", "nul\0", "half \ud800", "long" * 1_000, "refused", "last"]
    monkeypatch.setattr(rejection_module, "_storable", lambda text: "\0" if text == "refused" else _storable(text))
    await RejectedEvents(database).keep(
        [
            Rejection(source="s", entry_id=name, reason="r", detail="d", body=b"{}", default_event_id=f"d{number}")
            for number, name in enumerate(names)
        ]
    )
    await database.aclose()
    rows = await dispatcher.database.fetch("SELECT entry_id FROM rejected_events ORDER BY default_event_id")
    assert [row["entry_id"] for row in rows] == ["first", "nul\ufffd", "half ?", ("long" * 1_000)[:256], "last"]


async def _are_kept(dispatcher: Dispatcher, count: int) -> bool:
    return bool(await dispatcher.database.fetchval("SELECT count(*) FROM rejected_events") == count)


async def _has_left(dispatcher: Dispatcher) -> bool:
    return bool(await dispatcher.queue.xlen(dispatcher.settings.stream) == 0)
