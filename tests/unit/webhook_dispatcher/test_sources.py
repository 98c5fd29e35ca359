"""Queue sources without a broker: names of messages, order of deliveries, and libraries that are imported only when needed."""

import asyncio
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from support.engine import engine_settings, event
from support.source_queues import body_of
from webhook_dispatcher.events.event import InvalidEventError
from webhook_dispatcher.intake.lag import LagMetrics
from webhook_dispatcher.intake.sources import configured
from webhook_dispatcher.intake.sources.message import Message
from webhook_dispatcher.intake.sources.metrics import SourceMetrics
from webhook_dispatcher.intake.sources.rabbitmq import Deliveries


def test_a_message_that_nothing_names_is_rejected() -> None:
    """Without an id, of the event or of the message, a second delivery could not be told from a second event."""
    tenant = "ten_01hz0000000000000000000000"
    named = Message(source="s", entry_id="x", body=body_of(event(2, id="e"), tenant_id=tenant), is_named=False)
    assert named.event().event_id == "e"
    nameless = Message(source="s", entry_id="x", body=body_of(event(1), tenant_id=tenant), is_named=False)
    with pytest.raises(InvalidEventError, match="missing_id"):
        nameless.event()


async def test_deliveries_that_overtake_one_another_are_put_in_order() -> None:
    """The library runs a handler for each delivery; those of a channel that is gone are dropped, to come again."""
    deliveries, seen = Deliveries(), []
    old, new = object(), object()

    async def handle(channel: object, tag: int) -> None:
        if await deliveries.turn(channel, tag):
            seen.append((channel is new, tag))
            deliveries.passed()

    tasks = {tag: asyncio.create_task(handle(old, tag)) for tag in (3, 2, 5, 1)}
    await asyncio.wait([tasks[tag] for tag in (1, 2, 3)])
    await asyncio.gather(*(handle(new, tag) for tag in (2, 3, 1)), handle(old, 4), tasks[5])
    assert seen == [(False, 1), (False, 2), (False, 3), (True, 1), (True, 2), (True, 3)]


def test_no_library_of_a_broker_is_imported_unless_configured() -> None:
    """A worker without sources has none of them in memory."""
    code = "import sys, webhook_dispatcher.worker; print([m for m in ('faststream', 'aiokafka', 'nats') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - this interpreter, and code that stands here
    assert done.stdout.strip() == "[]"


def test_a_source_whose_library_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker does not start, and says what to install."""
    monkeypatch.setitem(sys.modules, "webhook_dispatcher.intake.sources.kafka", None)
    settings = engine_settings("postgresql://nowhere/x", "redis://nowhere", kafka_url="localhost:9092")
    with pytest.raises(configured.SourceNotInstalledError, match=r"webhook-dispatcher\[kafka\]"):
        configured.open_sources(
            settings,
            make_acceptor=lambda: pytest.fail("made"),
            metrics=SourceMetrics(CollectorRegistry()),
            lag=LagMetrics(CollectorRegistry()),
        )
