"""What every queue source promises, against real brokers; one that cannot be had is skipped by name."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from support.brokers import BrokerNotHadError, BrokerProcess
from support.engine import Dispatcher, WorkerProcess, event, plain, running_engine, until, worker_process
from support.source_queues import NatsQueue, RabbitQueue, SourceQueue, body_of, new_queue, running_broker
from webhook_dispatcher.events.event import EVENT_BYTES_MAX
from webhook_dispatcher.intake.commitment import BATCH_MAX
from webhook_dispatcher.settings import Settings

KINDS = ["nats", "rabbitmq", "kafka"]
MANY = 40
MORE_THAN_READ_AT_ONCE = BATCH_MAX + 10


class _Brokers:
    """The brokers that run, started at the first test that asks for one; and why one does not run."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._known: dict[str, BrokerProcess | str | BrokerNotHadError] = {}

    async def get(self, kind: str) -> BrokerProcess | str:
        if kind not in self._known:
            folder = self._folder / kind
            folder.mkdir()
            try:
                self._known[kind] = await self._stack.enter_async_context(running_broker(kind, folder))
            except BrokerNotHadError as exc:
                self._known[kind] = exc
        known = self._known[kind]
        if isinstance(known, BrokerNotHadError):
            pytest.skip(f"no {kind} here, so the source {kind} is NOT tested: {known}")
        return known


@pytest.fixture(scope="module")
async def brokers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[_Brokers]:
    async with AsyncExitStack() as stack:
        yield _Brokers(stack, tmp_path_factory.mktemp("brokers"))


@pytest.fixture(params=KINDS)
async def source(request: pytest.FixtureRequest, brokers: _Brokers) -> SourceQueue:
    return await new_queue(await brokers.get(request.param), request.param)


def _settings(dispatcher: Dispatcher, source: SourceQueue) -> Settings:
    given = dispatcher.settings
    return Settings(**{**{name: getattr(given, name) for name in given.model_fields_set}, **source.settings})


async def _publish(dispatcher: Dispatcher, source: SourceQueue, events: Sequence[dict[str, Any]]) -> None:
    for number, item in enumerate(events):
        await source.publish(body_of(item, tenant_id=dispatcher.tenant_id), name=f"m{number}")


async def _count(dispatcher: Dispatcher) -> int:
    return int(await dispatcher.database.fetchval("SELECT count(*) FROM events"))


async def _has(dispatcher: Dispatcher, count: int) -> bool:
    return await _count(dispatcher) == count


async def _until_acknowledged(source: SourceQueue) -> None:
    await until(lambda: _is_acknowledged(source), what="everything is acknowledged")


async def _is_acknowledged(source: SourceQueue) -> bool:
    return await source.unacknowledged() == 0


@asynccontextmanager
async def _nothing_can_be_committed(dispatcher: Dispatcher) -> AsyncIterator[None]:
    """Hold a lock that lets acceptance plan and not commit."""
    holder = await asyncpg.connect(plain(dispatcher.settings.database_url))
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE events IN SHARE MODE")
            yield
    finally:
        await holder.close()


async def _somebody_waits_to_commit(dispatcher: Dispatcher) -> bool:
    statement = (
        "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())"
    )
    return bool(await dispatcher.database.fetchval(statement))


async def test_events_are_delivered_and_then_acknowledged(dispatcher: Dispatcher, source: SourceQueue) -> None:
    """Every event of the queue reaches the webhook once, and nothing is left to be delivered again."""
    hook = await dispatcher.new_hook()
    await _publish(dispatcher, source, [event(number, id=f"e{number}") for number in range(MANY)])
    async with running_engine(_settings(dispatcher, source)):
        await hook.until_received(MANY)
    assert sorted(hook.ids()) == sorted(f"e{number}" for number in range(MANY))
    await _until_acknowledged(source)


async def test_nothing_is_lost_or_acknowledged_when_killed_before_the_commit(
    dispatcher: Dispatcher, source: SourceQueue, tmp_path: Path
) -> None:
    """A worker killed with what it read, and did not commit, leaves all of it to its successor."""
    await _publish(dispatcher, source, [event(number, id=f"e{number}") for number in range(MANY)])
    async with (
        _nothing_can_be_committed(dispatcher),
        worker_process(_settings(dispatcher, source), tmp_path, sources=source.settings) as worker,
    ):
        await until(lambda: _somebody_waits_to_commit(dispatcher), what="the worker wants to commit")
        worker.process.kill()
        await worker.process.wait()
        assert await source.unacknowledged() == MANY
    assert await _count(dispatcher) == 0
    async with running_engine(_settings(dispatcher, source)):
        await until(lambda: _has(dispatcher, MANY), what="the successor accepted everything", seconds=40)
    await _until_acknowledged(source)
    assert await _count(dispatcher) == MANY


async def test_a_stop_while_the_database_takes_nothing_acknowledges_nothing(
    dispatcher: Dispatcher, source: SourceQueue
) -> None:
    """An orderly stop gives up what it cannot commit; it is delivered again."""
    await _publish(dispatcher, source, [event(number, id=f"e{number}") for number in range(3)])
    async with AsyncExitStack() as stack:
        async with running_engine(_settings(dispatcher, source)):
            await stack.enter_async_context(_nothing_can_be_committed(dispatcher))
            await _publish(dispatcher, source, [event(9, id="late")])
            await until(lambda: _somebody_waits_to_commit(dispatcher), what="the worker wants to commit")
        assert await source.unacknowledged() >= 1
    async with running_engine(_settings(dispatcher, source)):
        await until(lambda: _has(dispatcher, 4), what="everything is accepted", seconds=40)
    await _until_acknowledged(source)


async def test_what_is_invalid_is_kept_with_its_reason(dispatcher: Dispatcher, source: SourceQueue) -> None:
    """Bad messages are in the list of rejected events and acknowledged; the good ones beside them pass."""
    hook = await dispatcher.new_hook()
    tenant = dispatcher.tenant_id
    bad = {
        "malformed_json": b'{"type":"\xff"}',
        "invalid_event": body_of(event(1, data=7), tenant_id=tenant),
        "unknown_event_type": body_of(event(1, type="withdrawal.approved.node.11"), tenant_id=tenant),
        "event_too_large": body_of(event(1, data={"x": "x" * (EVENT_BYTES_MAX - 100)}), tenant_id=tenant),
    }
    if isinstance(source, NatsQueue):
        del bad["event_too_large"]  # the server takes no message over 1 MiB
    for reason, body in bad.items():
        await source.publish(body, name=reason)
    await _publish(dispatcher, source, [event(number) for number in range(3)])
    async with running_engine(_settings(dispatcher, source)):
        await hook.until_received(3)
    await _until_acknowledged(source)
    rows = await dispatcher.database.fetch("SELECT reason, source FROM rejected_events")
    assert sorted(row["reason"] for row in rows) == sorted(bad)
    assert len({row["source"] for row in rows}) == 1


@pytest.mark.parametrize("timestamp", [2**63, 1_790_000_000_000_000])
async def test_a_time_beyond_all_years_stops_no_queue(
    dispatcher: Dispatcher, brokers: _Brokers, timestamp: int
) -> None:
    """A message of RabbitMQ whose publisher counts in microseconds is an event, and so is the one behind it."""
    source = await new_queue(await brokers.get("rabbitmq"), "rabbitmq")
    assert isinstance(source, RabbitQueue)
    await source.publish_at(body_of(event(1, id="odd"), tenant_id=dispatcher.tenant_id), timestamp=timestamp)
    await _publish(dispatcher, source, [event(2, id="behind")])
    async with running_engine(_settings(dispatcher, source)):
        await until(lambda: _has(dispatcher, 2), what="both are accepted")
    await _until_acknowledged(source)


async def test_what_is_delivered_again_is_one_event(dispatcher: Dispatcher, source: SourceQueue) -> None:
    """A second delivery of the same messages, with ids of their own or without, changes nothing."""
    bodies = [event(1), event(1), event(2, id="named")]
    await _publish(dispatcher, source, bodies)
    async with running_engine(_settings(dispatcher, source)):
        await until(lambda: _has(dispatcher, 3), what="everything is accepted")
    await _until_acknowledged(source)
    await source.deliver_again()
    assert await source.unacknowledged() >= 3
    async with running_engine(_settings(dispatcher, source)) as engine:
        registry = engine._resources.registry

        async def came_again() -> bool:
            return _figure(registry, "causeway_source_events_duplicate_total") == len(bodies)

        await until(came_again, what="all of them came again")
    await _until_acknowledged(source)
    assert await _count(dispatcher) == len(bodies)


async def test_a_broker_that_goes_and_comes_back_is_read_on(dispatcher: Dispatcher, source: SourceQueue) -> None:
    """While it is away the engine lives on and delivers; then it reads what is new."""
    if source.process is None:
        pytest.skip("this broker is not ours to kill")
    hook = await dispatcher.new_hook()
    async with running_engine(_settings(dispatcher, source)):
        await _publish(dispatcher, source, [event(1, id="before")])
        await hook.until_received(1)
        await source.process.kill()
        await dispatcher.publish(event(2, id="meanwhile"))
        await hook.until_received(2)
        await source.process.start()
        await until(lambda: _can_publish(dispatcher, source), what="the broker takes messages", seconds=60)
        await until(lambda: _has_id(dispatcher, "after"), what="the source reads on", seconds=60)
    await _until_acknowledged(source)


async def _can_publish(dispatcher: Dispatcher, source: SourceQueue) -> bool:
    try:
        async with asyncio.timeout(5):
            await _publish(dispatcher, source, [event(3, id="after")])
    except Exception:  # noqa: BLE001 - it is about to start
        return False
    return True


async def _has_id(dispatcher: Dispatcher, event_id: str) -> bool:
    return bool(
        await dispatcher.database.fetchval("SELECT EXISTS (SELECT 1 FROM events WHERE event_id = $1)", event_id)
    )


async def test_a_worker_shows_how_far_it_lies_behind(dispatcher: Dispatcher, source: SourceQueue) -> None:
    """What waits at the broker is shown as far as it says so: RabbitMQ tells nothing of what is read and not acknowledged."""
    await _publish(dispatcher, source, [event(number, id=f"e{number}") for number in range(MORE_THAN_READ_AT_ONCE)])
    hidden = BATCH_MAX if isinstance(source, RabbitQueue) else 0
    async with _nothing_can_be_committed(dispatcher), running_engine(_settings(dispatcher, source)) as engine:
        registry = engine._resources.registry

        async def is_shown() -> bool:
            unread = _figure(registry, "causeway_queue_unread")
            pending = _figure(registry, "causeway_queue_pending")
            return unread is not None and unread + (pending or 0) == MORE_THAN_READ_AT_ONCE - hidden

        await until(is_shown, what="the worker shows what waits")
    assert _figure(registry, "causeway_queue_unread") is None, "the figure of a source that is not read is not kept"


def _figure(registry: CollectorRegistry, name: str) -> float | None:
    """Return the one figure of a queue that is not the stream, None where there is none."""
    return next(
        (
            sample.value
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name == name and sample.labels.get("source", "").partition(":")[0] in KINDS
        ),
        None,
    )


async def test_order_is_kept_over_several_workers_and_a_kill(
    dispatcher: Dispatcher, source: SourceQueue, tmp_path: Path
) -> None:
    """An ordered webhook gets a key's events as they were published, although two workers read and one is killed."""
    hook = await dispatcher.new_hook(ordered=True)
    await _publish(dispatcher, source, [event(n, id=f"k.{n:03d}", subject="k") for n in range(MANY)])
    settings = _settings(dispatcher, source)
    async with (
        worker_process(settings, tmp_path, sources=source.settings) as killed,
        running_engine(settings),
    ):
        await hook.until_received(3)
        killed.process.kill()
        await dispatcher.until_settled(events=MANY, seconds=60)
    seen = list(dict.fromkeys(hook.ids()))
    assert seen == [f"k.{n:03d}" for n in range(MANY)]
    await _until_acknowledged(source)


async def test_an_unfit_nats_consumer_is_not_read(dispatcher: Dispatcher, brokers: _Brokers, tmp_path: Path) -> None:
    """A consumer that somebody made with several messages on their way at once would break the order: nothing is read."""
    source = await new_queue(await brokers.get("nats"), "nats")
    assert isinstance(source, NatsQueue)
    await source.add_consumer(max_ack_pending=100, ack_policy="explicit")
    await _publish(dispatcher, source, [event(1)])
    async with worker_process(_settings(dispatcher, source), tmp_path, sources=source.settings) as worker:
        await until(lambda: _said(worker, "UnfitSourceError"), what="the log says why")
    assert await source.unacknowledged() == 1


async def _said(worker: WorkerProcess, text: str) -> bool:
    return text in worker.log()
