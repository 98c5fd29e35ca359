"""What the intake rejects is in the database before it leaves the stream, whatever becomes of Valkey and of the worker."""

import json

import pytest

from support.engine import Dispatcher, event, running_engine, until
from webhook_dispatcher.lanes.engine import Engine


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
