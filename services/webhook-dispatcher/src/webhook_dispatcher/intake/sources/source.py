"""A queue source: one broker's connection, kept open for ever, and the acceptor that its messages go to."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from webhook_dispatcher.intake.lag import LOOK_SECONDS, LagMetrics, QueueLag
from webhook_dispatcher.intake.sources.acceptor import Acceptor
from webhook_dispatcher.intake.sources.metrics import SourceMetrics

log = structlog.get_logger()

CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 2.0
"""How long a stop waits for handlers that acknowledge what was committed."""
_PAUSE_SECONDS = 1.0
_LAG_TIMEOUT_SECONDS = 5.0
_PING_SECONDS = 5.0
_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


class UnfitSourceError(Exception):
    """The queue is there, but not such that the promises of a source hold; the message says what it lacks."""


class Broker(Protocol):
    """What is used of FastStream's brokers."""

    async def start(self) -> None:
        """Connect and begin to hand messages to the handlers."""

    async def stop(self) -> None:
        """Hand out no more messages, wait for the handlers, disconnect."""

    async def ping(self, timeout: float | None) -> bool:  # noqa: ASYNC109 - the library's own name for it
        """Tell whether the broker is connected, or becomes so within ``timeout`` seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSource:
    """A source with its broker, not yet connected, whose handlers give what they read to the acceptor.

    ``check`` runs before the first message is read, and raises UnfitSourceError. ``lag`` is asked while the broker is connected;
    it answers None where the figures cannot be known now, and may raise whatever the library raises.
    """

    broker: Broker
    check: Callable[[], Awaitable[None]]
    lag: Callable[[], Awaitable[QueueLag | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    """A source by configuration."""

    name: str
    open: Callable[[Acceptor], OpenSource]


class QueueSource:
    """Reads one source until stopped. A broker that is away, or refuses, is tried again and ends nothing."""

    def __init__(self, plan: SourcePlan, *, acceptor: Acceptor, metrics: SourceMetrics, lag: LagMetrics) -> None:
        self._plan = plan
        self._lag_metrics = lag
        self._acceptor = acceptor
        self._connected = metrics.connected.labels(plan.name)
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Read until stopped; connects again for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._acceptor.run())
                group.create_task(self._keep_connected())
        finally:
            self._connected.set(0)
            self._stopped.set()
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Read no more, settle and acknowledge what was read, disconnect. What is not acknowledged is delivered again."""
        self._stopping.set()
        self._acceptor.close()
        await self._stopped.wait()

    async def _keep_connected(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                await self._read()
                failures = 0
            # Each library has errors of its own; none of them may end a worker: what is in the database is delivered anyway.
            except Exception as exc:  # noqa: BLE001 - see above; the next try is a moment later, and says so again
                log.warning("source.waiting", source=self._plan.name, reason=type(exc).__name__, detail=str(exc)[:200])
            self._connected.set(0)
            await self._pause(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            failures += 1

    async def _read(self) -> None:
        """Read until the broker is gone or the source stops."""
        source = self._plan.open(self._acceptor)
        broker = source.broker
        looked_at = -math.inf
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await source.check()
                await broker.start()
            self._connected.set(1)
            log.info("source.reading", source=self._plan.name)
            while not self._stopping.is_set() and await broker.ping(_PING_SECONDS):
                if time.monotonic() - looked_at >= LOOK_SECONDS:
                    looked_at = time.monotonic()
                    await self._show_lag(source)
                await self._pause(_PAUSE_SECONDS)
            if not self._stopping.is_set():
                log.warning("source.lost", source=self._plan.name)
        finally:
            self._lag_metrics.show(self._plan.name, None)
            await self._close(broker)

    async def _show_lag(self, source: OpenSource) -> None:
        try:
            async with asyncio.timeout(_LAG_TIMEOUT_SECONDS):
                lag = await source.lag()
        except Exception as exc:  # noqa: BLE001 - each library has errors of its own, and a figure is not worth a connection
            log.info("queue.lag_not_known", source=self._plan.name, reason=type(exc).__name__)
            lag = None
        self._lag_metrics.show(self._plan.name, lag)

    async def _close(self, broker: Broker) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await broker.stop()
        except Exception as exc:  # noqa: BLE001 - a connection that is broken need not close in good order
            log.info("source.closed_hard", source=self._plan.name, reason=type(exc).__name__)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


async def raw(message: Any) -> object:
    """Decode nothing: a body is judged as the bytes that were sent, and a bad one is kept, not skipped by the library."""
    return message.body
