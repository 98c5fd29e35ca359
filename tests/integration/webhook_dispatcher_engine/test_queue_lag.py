"""What a worker tells of how far it lies behind the stream."""

import time

from prometheus_client import CollectorRegistry, generate_latest

from shared.queue import open_queue
from support.engine import Dispatcher, event, running_engine, until
from webhook_dispatcher.intake.lag import LagMetrics, QueueLag, StreamLagWatch, stream_lag

_OLD_SECONDS = 600


async def _lag(dispatcher: Dispatcher) -> QueueLag:
    settings = dispatcher.settings
    return await stream_lag(dispatcher.queue, stream=settings.stream, group=settings.stream_group)


async def test_what_is_unread_and_what_is_pending(dispatcher: Dispatcher) -> None:
    """Entries are unread until a worker reads them, pending until they are acknowledged; the oldest counts, read or not."""
    stream, group = dispatcher.settings.stream, dispatcher.settings.stream_group
    assert await _lag(dispatcher) == QueueLag(unread=0, pending=0, oldest_seconds=0.0)
    old = await dispatcher.add(event(0), entry_id=f"{int((time.time() - _OLD_SECONDS) * 1000)}-0")
    ids = [old, *[await dispatcher.add(event(number)) for number in range(1, 4)]]
    no_group = await _lag(dispatcher)
    assert (no_group.unread, no_group.pending) == (4, 0)
    assert no_group.oldest_seconds is not None
    assert _OLD_SECONDS <= no_group.oldest_seconds < _OLD_SECONDS + 60
    await dispatcher.queue.xgroup_create(stream, group, id="0")
    await dispatcher.queue.xreadgroup(group, "reader", {stream: ">"}, count=2)
    read = await _lag(dispatcher)
    assert (read.unread, read.pending) == (2, 2)
    assert read.oldest_seconds is not None
    assert read.oldest_seconds >= _OLD_SECONDS
    for entry_id in ids[:2]:
        await dispatcher.queue.xack(stream, group, entry_id)
        await dispatcher.queue.xdel(stream, entry_id)
    acknowledged = await _lag(dispatcher)
    assert (acknowledged.unread, acknowledged.pending) == (2, 0)
    assert acknowledged.oldest_seconds is not None
    assert acknowledged.oldest_seconds < 60


async def test_a_worker_shows_them_and_a_queue_that_is_away_has_no_figures(dispatcher: Dispatcher) -> None:
    """They stand among a worker's metrics, labelled with the stream alone; old ones do not stay while it is away."""
    settings = dispatcher.settings
    hook = await dispatcher.new_hook()
    async with running_engine(settings) as engine:
        registry = engine._resources.registry
        await dispatcher.add(event(1))
        await hook.until_received(1)

        async def is_shown() -> bool:
            return registry.get_sample_value("causeway_queue_unread", {"source": settings.stream}) == 0

        await until(is_shown, what="the figures are shown")
        assert registry.get_sample_value("causeway_queue_oldest_seconds", {"source": settings.stream}) is not None
    metrics = LagMetrics(registry := CollectorRegistry())
    await StreamLagWatch(dispatcher.queue, stream=settings.stream, group=settings.stream_group, metrics=metrics).look()
    assert _series(registry) == 3
    away = open_queue("redis://127.0.0.1:9/0")
    await StreamLagWatch(away, stream=settings.stream, group=settings.stream_group, metrics=metrics).look()
    await away.aclose()
    assert _series(registry) == 0


def _series(registry: CollectorRegistry) -> int:
    return sum(line.startswith("causeway_queue_") for line in generate_latest(registry).decode().splitlines())
