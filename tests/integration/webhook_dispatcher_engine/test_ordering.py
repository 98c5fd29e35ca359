"""An ordered webhook gets the events of a key one after the other, in the order in which they were accepted."""

import asyncio
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from support.engine import Dispatcher, engine_settings, event, running_engine, until, worker_process
from support.receiver import Answer, Hook, Received

KEYS = 20
EACH = 20


def _keyed(key: str, number: int, **fields: Any) -> dict[str, Any]:
    return event(number, id=f"{key}.{number:03d}", subject=key, **fields)


def _many() -> list[dict[str, Any]]:
    return [_keyed(f"k{key:02d}", number) for number in range(EACH) for key in range(KEYS)]


def _first_seen(hook: Hook) -> dict[str, list[str]]:
    """Return, for each key, the ids in the order in which they came first."""
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for event_id in dict.fromkeys(hook.ids()):
        seen[event_id.partition(".")[0]].append(event_id)
    return seen


def _assert_in_order(hook: Hook) -> None:
    seen = _first_seen(hook)
    assert sum(len(ids) for ids in seen.values()) == KEYS * EACH
    assert all(ids == sorted(ids) for ids in seen.values())


async def _nothing_is_left(dispatcher: Dispatcher) -> None:
    assert await dispatcher.database.fetchval("SELECT count(*) FROM ordering_keys") == 0
    await dispatcher.ledger()


@pytest.mark.usefixtures("engine")
async def test_one_that_hangs_holds_up_its_key_alone(dispatcher: Dispatcher) -> None:
    """The others of its key wait, however many slots are free; other keys flow."""
    hook = await dispatcher.new_hook(ordered=True)
    hook.answers = [Answer(hold=True)]
    await dispatcher.publish(*(_keyed("a", number) for number in range(4)))
    await hook.until_received(1)
    await dispatcher.publish(_keyed("a", 4))
    await dispatcher.publish(*(_keyed("b", number) for number in range(5)))
    await hook.until_received(6)
    assert hook.ids()[0] == "a.000"
    assert sorted(hook.ids()[1:]) == [f"b.{number:03d}" for number in range(5)]
    assert len(await dispatcher.deliveries(status="pending")) == 4
    hook.release()
    await dispatcher.until_settled(events=10)
    assert _first_seen(hook)["a"] == [f"a.{number:03d}" for number in range(5)]
    await _nothing_is_left(dispatcher)


@pytest.mark.usefixtures("engine")
async def test_a_retry_keeps_its_place(dispatcher: Dispatcher) -> None:
    """What is behind it waits until it has been delivered."""
    hook = await dispatcher.new_hook(ordered=True, retry_delays_seconds=[1, 1])
    hook.answers = [Answer(status=500), Answer(status=500)]
    await dispatcher.publish(*(_keyed("a", number) for number in range(3)))
    await dispatcher.until_settled(events=3)
    assert hook.ids() == ["a.000", "a.000", "a.000", "a.001", "a.002"]


@pytest.mark.usefixtures("engine")
async def test_what_has_failed_lets_the_next_one_go(dispatcher: Dispatcher) -> None:
    """One event that a destination never takes does not stop its key for ever."""
    hook = await dispatcher.new_hook(ordered=True, retry_delays_seconds=[])
    hook.answers = [Answer(status=500)]
    await dispatcher.publish(*(_keyed("a", number) for number in range(3)))
    await dispatcher.until_settled(events=3)
    assert hook.ids() == ["a.000", "a.001", "a.002"]
    assert (await dispatcher.delivery("a.000"))["status"] == "failed"
    await _nothing_is_left(dispatcher)


async def test_a_cancelled_one_lets_the_next_one_go(dispatcher: Dispatcher) -> None:
    """Wherever in the order it stood."""
    hook = await dispatcher.new_hook(ordered=True)
    await dispatcher.publish(*(_keyed("a", number) for number in range(4)))
    for event_id in ("a.002", "a.000"):
        delivery = await dispatcher.delivery(event_id)
        await dispatcher.call("POST", f"/v1/deliveries/{delivery['id']}/cancel")
    async with running_engine(dispatcher.settings):
        await dispatcher.until_settled(events=4)
    assert hook.ids() == ["a.001", "a.003"]
    await _nothing_is_left(dispatcher)


@pytest.mark.usefixtures("engine")
async def test_a_resend_stands_outside_the_order(dispatcher: Dispatcher) -> None:
    """It goes at once although another one of its key hangs; one that still waits for its turn cannot be resent."""
    hook = await dispatcher.new_hook(ordered=True)
    hook.answers = [Answer(), Answer(hold=True)]
    await dispatcher.publish(*(_keyed("a", number) for number in range(3)))
    await hook.until_received(2)
    delivered, waiting = await dispatcher.delivery("a.000"), await dispatcher.delivery("a.002")
    refused = await dispatcher.call("POST", f"/v1/deliveries/{waiting['id']}/resend", status=409)
    assert refused["code"] == "delivery_waits_in_order"
    await dispatcher.call("POST", f"/v1/deliveries/{delivered['id']}/resend", status=202)
    await hook.until_received(3)
    assert hook.ids()[2] == "a.000"
    hook.release()
    await dispatcher.until_settled(events=3)
    assert hook.ids()[3:] == ["a.002"]
    await _nothing_is_left(dispatcher)


@pytest.mark.usefixtures("engine")
async def test_the_ordering_key_goes_before_the_subject(dispatcher: Dispatcher) -> None:
    """Two requests of one account are in order with each other; an event with neither key nor subject waits for none."""
    hook = await dispatcher.new_hook(ordered=True, events=["*"])
    hook.answers = [Answer(hold=True)]
    await dispatcher.publish(event(1, subject="one", ordering_key="account"))
    await hook.until_received(1)
    await dispatcher.publish(
        event(2, subject="two", ordering_key="account"),
        event(3, subject="one"),
        {"id": "free", "type": "payment.succeeded", "data": {}},
    )
    await hook.until_received(3)
    assert "free" in hook.ids()
    assert len(hook.ids()) == 3
    hook.release()
    await dispatcher.until_settled(events=4)


async def test_a_disabled_or_deleted_webhook_has_nothing_blocked_for_ever(dispatcher: Dispatcher) -> None:
    """While disabled all are shown as held; deleting cancels all, those behind others too."""
    hook = await dispatcher.new_hook(ordered=True)
    await dispatcher.publish(*(_keyed("a", number) for number in range(4)))
    await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/disable")
    assert len(await dispatcher.deliveries(status="held")) == 4
    answer = await dispatcher.api.delete(f"/v1/webhooks/{hook.webhook_id}")
    assert answer.status_code == 204
    assert (await dispatcher.ledger())["cancelled"] == 4
    await _nothing_is_left(dispatcher)


async def test_acceptance_and_endings_that_meet_block_nothing_for_ever(dispatcher: Dispatcher) -> None:
    """Two engines end deliveries of a few keys while events for the same keys are accepted one by one."""
    hook = await dispatcher.new_hook(ordered=True, max_in_flight=50)

    async def publish(key: str) -> None:
        for number in range(60):
            await dispatcher.publish(_keyed(key, number))

    async with running_engine(dispatcher.settings), running_engine(dispatcher.settings):
        await asyncio.gather(*(publish(f"k{key}") for key in range(6)))
        await dispatcher.until_settled(events=360)
    assert all(ids == sorted(ids) for ids in _first_seen(hook).values())
    assert len(hook.ids()) == 360
    await _nothing_is_left(dispatcher)


@pytest.mark.parametrize("through", ["http", "stream"])
async def test_order_holds_over_retries_and_two_engines(dispatcher: Dispatcher, through: str) -> None:
    """Of 20 keys with 20 events each, one attempt in five fails: each key's events come first in their order."""
    chance = random.Random(5)
    hook = await dispatcher.new_hook(ordered=True, retry_delays_seconds=[1] * 20, max_in_flight=50)

    def choose(_received: Received) -> Answer:
        return Answer(status=500 if chance.random() < 0.2 else 200)

    hook.choose = choose
    async with running_engine(dispatcher.settings), running_engine(dispatcher.settings):
        if through == "http":
            await dispatcher.publish(*_many())
        else:
            for item in _many():
                await dispatcher.add(item)
        await dispatcher.until_settled(events=KEYS * EACH, seconds=60)
    delivered = [item for item in hook.received if item.webhook_id in hook.accepted]
    assert len(delivered) == len(hook.received)
    _assert_in_order(hook)
    await _nothing_is_left(dispatcher)


async def test_order_survives_killed_workers(dispatcher: Dispatcher, tmp_path: Path) -> None:
    """Two workers, each killed in turn while it delivers: what was in flight comes again, and nothing overtakes."""
    hook = await dispatcher.new_hook(ordered=True, max_in_flight=50)
    hook.otherwise = Answer(delay_seconds=0.02)
    async with worker_process(dispatcher.settings, tmp_path) as first:
        async with worker_process(dispatcher.settings, tmp_path) as second:
            for item in _many():
                await dispatcher.add(item)
            await hook.until_received(60)
            first.process.kill()
            await hook.until_received(160)
            second.process.kill()
        async with worker_process(dispatcher.settings, tmp_path):
            await dispatcher.until_settled(events=KEYS * EACH, seconds=60)
    _assert_in_order(hook)
    await _nothing_is_left(dispatcher)


async def test_an_entry_waits_for_those_before_it_that_another_worker_has(dispatcher: Dispatcher) -> None:
    """And only if a webhook wants its order: others are not held up by a worker that died."""
    settings = engine_settings(
        dispatcher.settings.database_url,
        dispatcher.settings.queue_url,
        sealing_keys=dispatcher.settings.sealing_keys,
        stream_claim_idle_seconds=2.0,
    )
    ordered = await dispatcher.new_hook(ordered=True)
    unordered = await dispatcher.new_hook(events=["kyc.*"])
    queue, stream, group = dispatcher.queue, settings.stream, settings.stream_group
    await queue.xgroup_create(stream, group, id="0", mkstream=True)
    await dispatcher.add(_keyed("a", 1))
    # Read, and never committed: as by a worker that was killed.
    assert await queue.xreadgroup(group, "killed", {stream: ">"}, count=1)
    await dispatcher.add(_keyed("a", 2))
    await dispatcher.add({"id": "free", "type": "kyc.rejected", "subject": "a", "data": {}})
    async with running_engine(settings):
        await unordered.until_received(1)
        await dispatcher.add(_keyed("a", 3))
        await dispatcher.until_settled(events=4)
    assert ordered.ids() == ["a.001", "a.002", "a.003"]
    assert await queue.xlen(stream) == 0


async def test_what_another_worker_has_in_between_comes_in_between(dispatcher: Dispatcher) -> None:
    """Of four entries another worker has the first and the third: the fourth does not go with the second."""
    settings = engine_settings(
        dispatcher.settings.database_url,
        dispatcher.settings.queue_url,
        sealing_keys=dispatcher.settings.sealing_keys,
        stream_claim_idle_seconds=3.0,
    )
    hook = await dispatcher.new_hook(ordered=True)
    queue, stream, group = dispatcher.queue, settings.stream, settings.stream_group

    async def are_read(count: int) -> bool:
        return bool((await queue.xpending(stream, group))["pending"] == count)

    async def other_reads(number: int) -> bytes:
        async with queue.pipeline(transaction=True) as pipe:
            pipe.xadd(stream, {"event": _entry(dispatcher, "a", number)})
            pipe.xreadgroup(group, "other", {stream: ">"}, count=1)
            added: bytes = (await pipe.execute())[0]
        return added

    await queue.xgroup_create(stream, group, id="0", mkstream=True)
    first = await other_reads(1)
    async with running_engine(settings):
        await dispatcher.add(_keyed("a", 2))
        await until(lambda: are_read(2), what="the engine has the second")
        await other_reads(3)
        await dispatcher.add(_keyed("a", 4))
        await until(lambda: are_read(4), what="the engine has the fourth")
        # The other worker commits the first, and dies with the third.
        await dispatcher.publish(_keyed("a", 1))
        await queue.xack(stream, group, first)
        await queue.xdel(stream, first)
        await dispatcher.until_settled(events=4)
    assert hook.ids() == [f"a.{number:03d}" for number in range(1, 5)]


async def test_a_webhook_that_just_became_ordered_is_heeded(dispatcher: Dispatcher) -> None:
    """A worker finds out when it commits, at the latest, and then keeps the order as well."""
    hook = await dispatcher.new_hook()
    async with running_engine(dispatcher.settings):
        await dispatcher.add(_keyed("a", 0))
        await dispatcher.until_settled(events=1)
        await dispatcher.call("PATCH", f"/v1/webhooks/{hook.webhook_id}", {"ordered": True})
        group, stream = dispatcher.settings.stream_group, dispatcher.settings.stream
        async with dispatcher.queue.pipeline(transaction=True) as pipe:
            pipe.xadd(stream, {"event": _entry(dispatcher, "a", 1)})
            pipe.xreadgroup(group, "killed", {stream: ">"}, count=1)
            pipe.xadd(stream, {"event": _entry(dispatcher, "a", 2)})
            await pipe.execute()
        await dispatcher.until_settled(events=3)
    assert hook.ids() == ["a.000", "a.001", "a.002"]


def _entry(dispatcher: Dispatcher, key: str, number: int) -> str:
    return json.dumps({"tenant_id": dispatcher.tenant_id, **_keyed(key, number)})


async def test_the_wait_for_a_turn_is_seen(dispatcher: Dispatcher) -> None:
    """Events that wait behind others are pending in history and ledger, and nothing is due twice."""
    await dispatcher.new_hook(ordered=True)
    await dispatcher.publish(*(_keyed("a", number) for number in range(3)))
    assert (await dispatcher.ledger())["pending"] == 3
    assert {item["status"] for item in await dispatcher.deliveries()} == {"pending"}
    assert await dispatcher.database.fetchval("SELECT count(*) FROM deliveries WHERE status = 'pending'") == 1
