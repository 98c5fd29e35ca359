"""From the stream into the database: nothing is lost, nothing counts twice, and what is invalid is told apart."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.engine import Dispatcher, event, running_engine, until, worker_process
from webhook_dispatcher.events.event import EVENT_BYTES_MAX
from webhook_dispatcher.lanes.engine import Engine

_TENANT = "ten_01hz0000000000000000000000"


def _entry(**fields: Any) -> bytes:
    """Return a good entry with some fields changed, or left out where None."""
    entry = {"tenant_id": _TENANT, **event(), **fields}
    return json.dumps({name: value for name, value in entry.items() if value is not None}).encode()


_INVALID: dict[str, tuple[str, bytes, str]] = {
    "no JSON": ("malformed_json", b'{"type":', ""),
    "empty": ("malformed_json", b"", ""),
    "not UTF-8": ("malformed_json", b'{"type":"\xff"}', "UTF-8"),
    "a NUL": ("malformed_json", _entry(subject="a\0b"), "NUL"),
    "a key twice": ("malformed_json", _entry()[:-1] + b',"type":"kyc.rejected"}', "/type"),
    "too deep": ("malformed_json", _entry()[:-1] + b',"x":' + b"[" * 100 + b"]" * 100 + b"}", "deeper"),
    "NaN": ("malformed_json", _entry().replace(b'"10.50"', b"NaN"), ""),
    "half a surrogate": ("malformed_json", _entry().replace(b"10.50", b"\\ud800"), ""),
    "no object": ("invalid_event", b"[]", "object"),
    "too large": ("event_too_large", _entry(data={"x": "x" * EVENT_BYTES_MAX}), "bytes"),
    "unknown type": ("unknown_event_type", _entry(type="withdrawal.approved.node.11"), "/type"),
    "no type": ("invalid_event", _entry(type=None), "/type"),
    "unknown field": ("invalid_event", _entry(webhook="x"), "/webhook"),
    "no tenant": ("invalid_event", _entry(tenant_id=None), "/tenant_id"),
    "bad tenant": ("invalid_event", _entry(tenant_id="ten_x"), "/tenant_id"),
    "tenant of a wrong kind": ("invalid_event", _entry(tenant_id=["ten"]), "/tenant_id"),
    "bad environment": ("invalid_event", _entry(environment="prod"), "/environment"),
    "no subject of a request": ("invalid_event", _entry(subject=None), "/subject"),
    "subject of a wrong type": ("invalid_event", _entry(subject=7), "/subject"),
    "data is no object": ("invalid_event", _entry(data=[1]), "/data"),
    "bad id": ("invalid_event", _entry(id="a b"), "/id"),
    "bad time": ("invalid_event", _entry(occurred_at="yesterday"), "/occurred_at"),
    "bad ordering key": ("invalid_event", _entry(ordering_key=""), "/ordering_key"),
}


@pytest.mark.usefixtures("engine")
async def test_what_is_invalid_is_rejected_with_the_reason(dispatcher: Dispatcher) -> None:
    """Each class of bad input reaches the rejected stream as it was, with reason and pointer; good ones beside it pass."""
    hook = await dispatcher.new_hook()
    stream = dispatcher.settings.stream
    async with dispatcher.queue.pipeline(transaction=True) as pipe:
        for number, (_reason, text, _detail) in enumerate(_INVALID.values()):
            pipe.xadd(stream, {"event": text})
            pipe.xadd(stream, {"event": json.dumps({"tenant_id": dispatcher.tenant_id, **event(number)})})
        pipe.xadd(stream, {"event": _entry(), "extra": "x"})
        pipe.xadd(stream, {"payload": _entry()})
        added = await pipe.execute()
    await hook.until_received(len(_INVALID))
    await until(lambda: _is_empty(dispatcher), what="the stream is empty")

    entries = await dispatcher.queue.xrange(f"{stream}:rejected")
    rejected = {fields[b"entry_id"]: fields for _, fields in entries}
    assert len(entries) == len(rejected) == len(_INVALID) + 2
    for (name, (reason, text, detail)), entry_id in zip(_INVALID.items(), added[::2], strict=False):
        fields = rejected[entry_id]
        assert fields[b"reason"].decode() == reason, (name, fields)
        assert detail in fields[b"detail"].decode(), (name, fields)
        assert fields[b"event"] == text
        assert fields[b"rejected_at"].endswith(b"Z")
    assert [rejected[entry_id][b"reason"] for entry_id in added[-2:]] == [b"invalid_entry"] * 2
    await dispatcher.until_settled(events=len(_INVALID))


async def _is_empty(dispatcher: Dispatcher) -> bool:
    return bool(await dispatcher.queue.xlen(dispatcher.settings.stream) == 0)


async def test_entries_of_a_dead_consumer_are_claimed(dispatcher: Dispatcher) -> None:
    """What a consumer read and never acknowledged is taken over by another."""
    hook = await dispatcher.new_hook()
    stream, group = dispatcher.settings.stream, dispatcher.settings.stream_group
    await dispatcher.queue.xgroup_create(stream, group, id="0", mkstream=True)
    for number in range(3):
        await dispatcher.add(event(number, id=f"e{number}"))
    await dispatcher.queue.xreadgroup(group, "dead", {stream: ">"})
    async with running_engine(dispatcher.settings):
        await hook.until_received(3)
        await until(lambda: _is_empty(dispatcher), what="the stream is empty")
    assert sorted(hook.ids()) == ["e0", "e1", "e2"]
    assert (await dispatcher.queue.xpending(stream, group))["pending"] == 0


@pytest.mark.parametrize("loss", ["group", "everything"])
async def test_a_lost_consumer_group_is_made_again(dispatcher: Dispatcher, engine: Engine, loss: str) -> None:
    """After XGROUP DESTROY, and after the queue was emptied, the engine that runs goes on reading."""
    assert engine
    hook = await dispatcher.new_hook()
    await dispatcher.add(event(1))
    await hook.until_received(1)
    if loss == "group":
        await dispatcher.queue.xgroup_destroy(dispatcher.settings.stream, dispatcher.settings.stream_group)
    else:
        await dispatcher.queue.flushdb()
    await dispatcher.add(event(2))
    await hook.until_received(2)
    await dispatcher.until_settled(events=2)
    await until(lambda: _is_empty(dispatcher), what="the stream is empty")


@pytest.mark.usefixtures("engine")
async def test_an_entry_without_an_id_read_twice_is_one_event(dispatcher: Dispatcher) -> None:
    """The id of an event that has none follows from its entry, so that reading the entry again changes nothing."""
    hook = await dispatcher.new_hook()
    entry_id = await dispatcher.add(event(1))
    [first] = await hook.until_received(1)
    assert first.webhook_id.startswith("evt_")
    await until(lambda: _is_empty(dispatcher), what="the stream is empty")
    await dispatcher.queue.flushdb()
    await dispatcher.add(event(1), entry_id=entry_id.decode())
    await dispatcher.add(event(2))
    await hook.until_received(2)
    await dispatcher.until_settled(events=2)
    assert len(set(hook.ids())) == len(hook.ids()) == 2


@asynccontextmanager
async def _commits_blocked(dispatcher: Dispatcher) -> AsyncIterator[None]:
    """Make every acceptance of events wait in the database."""
    async with dispatcher.database.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE event_keys IN ACCESS EXCLUSIVE MODE")
        yield


async def _someone_waits(dispatcher: Dispatcher) -> bool:
    waiting = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'event_keys'::regclass)"
    return bool(await dispatcher.database.fetchval(waiting))


@pytest.mark.usefixtures("engine")
async def test_nothing_is_acknowledged_before_it_is_committed(dispatcher: Dispatcher) -> None:
    """While the commit waits the entry stays on the stream, read and unacknowledged; after it the entry is gone."""
    await dispatcher.new_hook()
    stream, group = dispatcher.settings.stream, dispatcher.settings.stream_group
    async with _commits_blocked(dispatcher):
        await dispatcher.add(event())
        await until(lambda: _someone_waits(dispatcher), what="the acceptance waits")
        assert await dispatcher.queue.xlen(stream) == 1
        assert (await dispatcher.queue.xpending(stream, group))["pending"] == 1
    await dispatcher.until_settled(events=1)
    await until(lambda: _is_empty(dispatcher), what="the stream is empty")
    assert (await dispatcher.queue.xpending(stream, group))["pending"] == 0


async def test_a_worker_killed_between_reading_and_committing_loses_nothing(
    dispatcher: Dispatcher, tmp_path: Path
) -> None:
    """Events that a killed worker had read, and not committed, are accepted by another, each once."""
    hook = await dispatcher.new_hook()
    async with worker_process(dispatcher.settings, tmp_path) as killed:
        async with _commits_blocked(dispatcher):
            for number in range(5):
                await dispatcher.add(event(number))
            await until(lambda: _someone_waits(dispatcher), what="the acceptance waits")
            killed.process.kill()
            await killed.process.wait()
        async with running_engine(dispatcher.settings):
            await hook.until(lambda hook: len(set(hook.ids())) >= 5)
            await dispatcher.until_settled(events=5)
            await until(lambda: _is_empty(dispatcher), what="the stream is empty")
    assert len(set(hook.ids())) == 5


@pytest.mark.usefixtures("engine")
async def test_a_stream_that_is_none_stops_no_delivery(dispatcher: Dispatcher) -> None:
    """Whatever the queue server refuses, HTTP publishing and delivery go on, and reading does once it is put right."""
    hook = await dispatcher.new_hook()
    stream = dispatcher.settings.stream
    await dispatcher.queue.delete(stream)
    await dispatcher.queue.set(stream, "not a stream")
    await dispatcher.publish(event(1))
    await hook.until_received(1)
    await dispatcher.publish(event(2))
    await hook.until_received(2)
    await dispatcher.queue.delete(stream)
    await dispatcher.add(event(3))
    await hook.until_received(3)
    await dispatcher.until_settled(events=3)


_REFUSE = """
    CREATE SEQUENCE refused;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM nextval('refused'); RAISE 'refused' USING ERRCODE = '%s'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON event_keys FOR EACH ROW WHEN (NEW.event_id LIKE '%s') EXECUTE FUNCTION refuse()
"""


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("sqlstate", ["40P01", "57014", "25006", "XX000"])
async def test_a_fault_of_the_database_rejects_no_event(dispatcher: Dispatcher, sqlstate: str) -> None:
    """A deadlock, a timeout, a server that is read-only for a while, a fault inside it: the events wait for it to end."""
    hook = await dispatcher.new_hook()
    await dispatcher.database.execute(_REFUSE % (sqlstate, "%"))
    for number in range(3):
        await dispatcher.add(event(number))
    refused = "SELECT last_value >= 5 FROM refused"
    await until(lambda: dispatcher.database.fetchval(refused), what="the database refused several times")
    await dispatcher.database.execute("DROP TRIGGER refuse ON event_keys")
    await hook.until_received(3)
    await dispatcher.until_settled(events=3)
    assert await dispatcher.queue.xlen(f"{dispatcher.settings.stream}:rejected") == 0


@pytest.mark.usefixtures("engine")
async def test_only_the_event_that_the_database_cannot_store_is_rejected(dispatcher: Dispatcher) -> None:
    """When the database refuses the data of one event of a batch, that one is rejected and the others are accepted."""
    hook = await dispatcher.new_hook()
    await dispatcher.database.execute(_REFUSE % ("22003", "bad%"))
    async with dispatcher.queue.pipeline(transaction=True) as pipe:
        for name in ("good-1", "good-2", "bad-3", "good-4", "good-5"):
            text = json.dumps({"tenant_id": dispatcher.tenant_id, **event(id=name, subject=name)})
            pipe.xadd(dispatcher.settings.stream, {"event": text})
        await pipe.execute()
    await hook.until_received(4)
    await until(lambda: _is_empty(dispatcher), what="the stream is empty")
    [(_, fields)] = await dispatcher.queue.xrange(f"{dispatcher.settings.stream}:rejected")
    assert (fields[b"reason"], json.loads(fields[b"event"])["id"]) == (b"not_storable", "bad-3")
    await dispatcher.until_settled(events=4)


_SLOW_IF_MANY = """
    CREATE FUNCTION slow_if_many() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF (SELECT count(*) FROM added) > 2 THEN RAISE 'too slow' USING ERRCODE = '57014'; END IF; RETURN NULL; END $$;
    CREATE TRIGGER slow_if_many AFTER INSERT ON event_keys REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION slow_if_many()
"""


@pytest.mark.usefixtures("engine")
async def test_a_batch_that_takes_too_long_is_committed_in_smaller_steps(dispatcher: Dispatcher) -> None:
    """The database ends a statement for its duration each time that it is asked for more than two events at once."""
    hook = await dispatcher.new_hook()
    await dispatcher.database.execute(_SLOW_IF_MANY)
    async with dispatcher.queue.pipeline(transaction=True) as pipe:
        for number in range(9):
            pipe.xadd(
                dispatcher.settings.stream,
                {"event": json.dumps({"tenant_id": dispatcher.tenant_id, **event(number)})},
            )
        await pipe.execute()
    await hook.until_received(9)
    await dispatcher.until_settled(events=9)
    assert await dispatcher.queue.xlen(f"{dispatcher.settings.stream}:rejected") == 0


async def test_own_types_and_broken_schemas_on_the_stream(dispatcher: Dispatcher, engine: Engine) -> None:
    """What fits is delivered, what does not is set aside with reason and place; after a change the next entry is judged anew."""
    del engine
    schema = {"properties": {"points": {"type": "integer"}}}
    kind = {"name": "loyalty.points", "description": "x", "json_schema": schema, "example": {"points": 1}}
    early = await dispatcher.add({"type": "loyalty.points", "data": {"points": 1}, "id": "early"})
    assert await _rejected(dispatcher, 1) == [(early, "unknown_event_type", "/type")]
    await dispatcher.call("POST", "/v1/event-types", kind, status=201)
    hook = await dispatcher.new_hook(events=["loyalty.*", "withdrawal.*"])
    broken = await dispatcher.add({"type": "loyalty.points", "data": {"points": "many"}, "id": "broken"})
    built_in = await dispatcher.add(event(1, data={"status": "done"}, id="broken-too"))
    await dispatcher.add({"type": "loyalty.points", "data": {"points": 7}, "id": "good"})
    [received] = await hook.until_received(1)
    assert received.webhook_id == "good"
    told = await _rejected(dispatcher, 3)
    assert (broken, "data_breaks_schema", "/data/points") in told
    assert (built_in, "data_breaks_schema", "/data/status") in told
    await dispatcher.until_settled(events=1)


async def _rejected(dispatcher: Dispatcher, count: int) -> list[tuple[bytes, str, str]]:
    """Wait for so many entries on the rejected stream: the id each had, its reason, and the place of the fault."""
    stream = f"{dispatcher.settings.stream}:rejected"

    async def all_there() -> bool:
        return bool(await dispatcher.queue.xlen(stream) >= count)

    await until(all_there, what=f"{count} entries are rejected")
    return [
        (fields[b"entry_id"], fields[b"reason"].decode(), fields[b"detail"].decode().partition(":")[0])
        for _, fields in await dispatcher.queue.xrange(stream)
    ]
