"""RabbitMQ: a durable queue with a single active consumer, so that one worker at a time reads it, in order.

Needs the extra ``rabbitmq``.
"""

import asyncio
import hashlib
from collections import deque
from datetime import UTC, datetime

import pamqp.decode
from aio_pika.abc import AbstractIncomingMessage
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue

from webhook_dispatcher.intake.commitment import BATCH_MAX
from webhook_dispatcher.intake.lag import QueueLag
from webhook_dispatcher.intake.sources.acceptor import Acceptor
from webhook_dispatcher.intake.sources.message import Message
from webhook_dispatcher.intake.sources.source import CLOSE_SECONDS, OpenSource, SourcePlan, raw
from webhook_dispatcher.settings import Settings


class Deliveries:
    """Puts deliveries back in their order: the library runs a handler for each, and they overtake one another.

    A channel numbers what it delivers 1, 2, 3, …; a connection that was lost comes back with another channel.
    """

    def __init__(self) -> None:
        self._channel: object = None
        self._past: deque[object] = deque(maxlen=16)
        self._next = 1
        self._waiting: dict[int, asyncio.Future[bool]] = {}

    async def turn(self, channel: object, tag: int) -> bool:
        """Wait until all deliveries before this one have passed; False if its channel is gone, and it will come again."""
        if channel is not self._channel:
            if any(channel is past for past in self._past):
                return False
            self._begin(channel)
        if tag == self._next:
            return True
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[tag] = future
        return await future and channel is self._channel

    def passed(self) -> None:
        """Let the next one pass; called at once after ``turn`` said that it has come."""
        self._next += 1
        following = self._waiting.pop(self._next, None)
        if following is not None:
            following.set_result(True)

    def _begin(self, channel: object) -> None:
        for future in self._waiting.values():
            future.set_result(False)
        self._waiting.clear()
        self._past.append(self._channel)
        self._channel, self._next = channel, 1


def plan(settings: Settings) -> SourcePlan:
    """Return the source that ``CAUSEWAY_RABBITMQ_*`` describes."""
    name = f"rabbitmq:{settings.rabbitmq_queue}"

    _take_any_timestamp()

    def open_broker(acceptor: Acceptor) -> OpenSource:
        broker = RabbitBroker(
            settings.rabbitmq_url.get_secret_value(),
            default_channel=Channel(prefetch_count=BATCH_MAX),
            reconnect_interval=1.0,
            logger=None,
            graceful_timeout=CLOSE_SECONDS,
        )
        subscriber = broker.subscriber(
            RabbitQueue(settings.rabbitmq_queue, durable=True, arguments={"x-single-active-consumer": True}),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
        )

        deliveries = Deliveries()

        async def handle(message: RabbitMessage) -> None:
            received = message.raw_message
            if await deliveries.turn(received.channel, received.delivery_tag or 0):
                done = acceptor.submit([_message(name, received)], acknowledge=message.ack)
                deliveries.passed()
                await done

        subscriber(handle, decoder=raw)

        async def check() -> None:
            """Nothing to look at: declaring the queue fails if it is there and has no single active consumer."""

        async def lag() -> QueueLag | None:
            connection = await broker.connect()
            async with connection.channel() as channel:
                queue = await channel.declare_queue(settings.rabbitmq_queue, passive=True)
                return QueueLag(unread=queue.declaration_result.message_count or 0)

        return OpenSource(broker=broker, check=check, lag=lag)

    return SourcePlan(name=name, open=open_broker)


def _take_any_timestamp() -> None:
    """Have the library read a timestamp beyond all years as none.

    It is whatever a publisher wrote (microseconds, say). The library would raise while it reads the frame, and drop the
    connection: the message would come again, and none behind it ever.
    """
    pamqp.decode.METHODS["timestamp"] = _any_timestamp
    pamqp.decode.TABLE_MAPPING[b"T"] = _any_timestamp


def _any_timestamp(value: bytes) -> tuple[int, datetime]:
    try:
        return pamqp.decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, datetime.fromtimestamp(0, tz=UTC)


def _message(source: str, received: AbstractIncomingMessage) -> Message:
    """Return what was received. RabbitMQ gives a message no name; the publisher may have, as its ``message_id``."""
    named = received.message_id
    sent = received.timestamp
    return Message(
        source=source,
        entry_id=named[:256] if named else hashlib.sha256(received.body).hexdigest(),
        body=received.body,
        sent_ms=int(sent.timestamp() * 1000) if sent else 0,
        is_named=bool(named),
    )
