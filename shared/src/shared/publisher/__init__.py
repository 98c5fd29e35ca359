"""Publishing events, for internal systems: over HTTP, to the stream, or through an outbox in the caller's own transaction.

Used by the wallet-gateway for what became of transfers, by the dispatcher's commands, and by every system that publishes.

    async with HttpPublisher.open(url, key) as publisher:
        await publisher.publish(PublishedEvent(realm=realm, type="withdrawal.rejected", subject="wr-1", data={...}))

An event has its id before it is sent the first time, so sending it again is harmless. What is raised:

    PublishError
    ├── EventRefusedError         it can never be accepted as it is: ``code`` and ``errors`` say why
    └── PublisherUnavailableError nobody could be reached, or nobody knows: send the same event again
"""

from shared.publisher.errors import EventRefusedError, PublishError, PublisherUnavailableError
from shared.publisher.event import PublishedEvent
from shared.publisher.http import HttpPublisher
from shared.publisher.outbox import Outbox, OutboxRelay
from shared.publisher.stream import StreamPublisher

__all__ = [
    "EventRefusedError",
    "HttpPublisher",
    "Outbox",
    "OutboxRelay",
    "PublishError",
    "PublishedEvent",
    "PublisherUnavailableError",
    "StreamPublisher",
]
