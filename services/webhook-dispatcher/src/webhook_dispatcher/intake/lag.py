"""How far the intake lies behind its queues: what was not read yet, what was read and is not acknowledged, and since when.

Each worker looks every few seconds, and asks for no bodies while it can do without. What cannot be known is not shown at all:
a figure of a queue that is away would be an old one.
"""

import asyncio
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from webhook_dispatcher.intake.entries import position_of

log = structlog.get_logger()

LOOK_SECONDS = 5.0
_NO_GROUP = "NOGROUP"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLag:
    """One queue at one moment. None: this kind of queue does not tell."""

    unread: int
    """Messages that no worker has read."""
    pending: int | None = None
    """Messages that a worker has read and not acknowledged."""
    oldest_seconds: float | None = None
    """For how long the oldest message, read or not, is in the queue; 0 with none."""


class LagMetrics:
    """The figures of each queue, labelled with its name: as many as are configured."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unread = Gauge(
            "causeway_queue_unread", "Messages of a queue that no worker has read", ("source",), registry=registry
        )
        self.pending = Gauge(
            "causeway_queue_pending",
            "Messages of a queue that a worker has read and not acknowledged",
            ("source",),
            registry=registry,
        )
        self.oldest_seconds = Gauge(
            "causeway_queue_oldest_seconds",
            "For how long the oldest message is in the queue, at the last look",
            ("source",),
            registry=registry,
        )

    def show(self, source: str, lag: QueueLag | None) -> None:
        """Show the figures of now; None, or a figure of None, takes the old one away."""
        figures = (
            (self.unread, lag.unread if lag else None),
            (self.pending, lag.pending if lag else None),
            (self.oldest_seconds, lag.oldest_seconds if lag else None),
        )
        for gauge, value in figures:
            if value is None:
                gauge.remove_by_labels({"source": source})
            else:
                gauge.labels(source).set(value)


async def stream_lag(queue: Redis, *, stream: str, group: str) -> QueueLag:
    """Return the figures of a stream whose entries are deleted once they are acknowledged. Raises RedisError, OSError.

    So what is in it and is not pending was not read. (The server counts that itself, but gives up once entries were deleted.)
    """
    length = await queue.xlen(stream)
    pending, oldest_id = await _pending(queue, stream=stream, group=group)
    if oldest_id is None and length:
        first = await queue.xrange(stream, count=1)
        oldest_id = first[0][0] if first else None
    oldest_seconds = 0.0
    if oldest_id is not None:
        seconds, microseconds = await queue.time()
        oldest_seconds = max(0.0, seconds + microseconds / 1_000_000 - position_of(oldest_id)[0] / 1000)
    return QueueLag(unread=max(0, length - pending), pending=pending, oldest_seconds=oldest_seconds)


async def _pending(queue: Redis, *, stream: str, group: str) -> tuple[int, bytes | None]:
    """Return how many entries are pending, and the id of the oldest; none where the group is not there."""
    try:
        found = await queue.xpending(stream, group)
    except ResponseError as exc:
        if not str(exc).startswith(_NO_GROUP):
            raise
        return 0, None
    return found["pending"], found["min"]


class StreamLagWatch:
    """Shows the stream's figures until it is cancelled."""

    def __init__(self, queue: Redis, *, stream: str, group: str, metrics: LagMetrics) -> None:
        self._queue = queue
        self._stream = stream
        self._group = group
        self._metrics = metrics

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once; a queue that is away is none of ours to end."""
        try:
            lag = await stream_lag(self._queue, stream=self._stream, group=self._group)
        except (RedisError, OSError, TimeoutError) as exc:
            log.info("queue.lag_not_known", source=self._stream, reason=type(exc).__name__)
            lag = None
        self._metrics.show(self._stream, lag)
