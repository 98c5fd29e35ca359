"""Publishing to the queue: an entry of the stream ``causeway:events``, which the dispatcher's workers read."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared import typeids
from shared.publisher.errors import PublisherUnavailableError
from shared.publisher.event import PublishedEvent
from shared.queue import open_queue

STREAM = "causeway:events"


class StreamPublisher:
    """Adds events to the stream. A context manager that closes itself.

    Whoever must not lose an event to a queue server that is emptied publishes over HTTP or through the outbox: here an event is
    accepted once a worker has committed it, and what cannot be accepted goes to the list of rejected events.
    """

    def __init__(self, queue: Redis, *, stream: str = STREAM) -> None:
        self._queue = queue
        self._stream = stream

    @classmethod
    def open(cls, queue_url: str, *, stream: str = STREAM) -> Self:
        """Make a publisher; it connects at the first event."""
        return cls(open_queue(queue_url), stream=stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._queue.aclose()

    async def publish(self, event: PublishedEvent) -> str:
        """Add one event and return its id; raises PublisherUnavailableError."""
        await self.publish_many([event])
        return event.id

    async def publish_many(self, events: Sequence[PublishedEvent]) -> None:
        """Add events in their order, all or none; raises PublisherUnavailableError."""
        try:
            async with self._queue.pipeline(transaction=True) as pipe:
                for event in events:
                    pipe.xadd(self._stream, {"event": _entry(event)})
                await pipe.execute()
        except (RedisError, OSError) as exc:
            raise PublisherUnavailableError(type(exc).__name__) from exc


def _entry(event: PublishedEvent) -> bytes:
    fields: dict[str, Any] = event.wire()
    tenant = {"tenant_id": typeids.encode("ten", event.realm.tenant_id), "environment": event.realm.environment}
    return orjson.dumps({**tenant, **fields})
