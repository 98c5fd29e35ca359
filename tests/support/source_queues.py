"""The queues that the sources read, seen from the other side: publishing, and what is not acknowledged yet."""

import asyncio
import json
import os
import secrets
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import aio_pika
import nats
import pamqp.encode
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from nats.js.errors import NotFoundError

from support.brokers import BrokerNotHadError, BrokerProcess, running_nats, running_rabbitmq

KAFKA_VARIABLE = "CAUSEWAY_TEST_KAFKA"
_GONE_SECONDS = 20.0


class SourceQueue(Protocol):
    """One fresh queue. ``settings`` are those of a worker that reads it; ``process`` is None where a broker is not ours."""

    settings: Mapping[str, str]
    process: BrokerProcess | None

    async def publish(self, body: bytes, *, name: str) -> None:
        """Publish a message, which the broker has when this returns; ``name`` is for brokers that give it none themselves."""

    async def unacknowledged(self) -> int:
        """Return how many messages are not acknowledged. No worker may be reading."""

    async def deliver_again(self) -> None:
        """Let everything be delivered once more to those who read from now on. No worker may be reading."""


class NatsQueue:
    """A stream of JetStream."""

    def __init__(self, process: BrokerProcess) -> None:
        self.process: BrokerProcess | None = process
        name = secrets.token_hex(4)
        self._url = f"nats://127.0.0.1:{process.port}"
        self._stream, self._subject, self._durable = f"S{name}", f"events.{name}", f"d{name}"
        self.settings: Mapping[str, str] = {
            "nats_url": self._url,
            "nats_stream": self._stream,
            "nats_subject": self._subject,
            "nats_durable": self._durable,
        }

    @asynccontextmanager
    async def _jetstream(self) -> AsyncIterator[Any]:
        client = await nats.connect(self._url)
        try:
            yield client.jetstream()
        finally:
            await client.close()

    async def make(self) -> None:
        async with self._jetstream() as jetstream:
            await jetstream.add_stream(name=self._stream, subjects=[self._subject])

    async def add_consumer(self, **fields: Any) -> None:
        """Make the durable consumer, as somebody else might."""
        async with self._jetstream() as jetstream:
            await jetstream.add_consumer(
                self._stream, durable_name=self._durable, filter_subject=self._subject, **fields
            )

    async def publish(self, body: bytes, *, name: str) -> None:
        assert name
        async with self._jetstream() as jetstream:
            await jetstream.publish(self._subject, body)

    async def unacknowledged(self) -> int:
        async with self._jetstream() as jetstream:
            try:
                found = await jetstream.consumer_info(self._stream, self._durable)
            except NotFoundError:
                return int((await jetstream.stream_info(self._stream)).state.messages)
            return int(found.num_pending + found.num_ack_pending)

    async def deliver_again(self) -> None:
        async with self._jetstream() as jetstream:
            await jetstream.delete_consumer(self._stream, self._durable)


class RabbitQueue:
    """A queue of RabbitMQ, which remembers what was published to publish it again."""

    def __init__(self, process: BrokerProcess) -> None:
        self.process: BrokerProcess | None = process
        self._queue = f"q{secrets.token_hex(4)}"
        self._url = f"amqp://guest:guest@127.0.0.1:{process.port}/"
        self._published: list[tuple[bytes, str]] = []
        self.settings: Mapping[str, str] = {"rabbitmq_url": self._url, "rabbitmq_queue": self._queue}

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        async with await aio_pika.connect(self._url) as connection, connection.channel() as channel:
            yield channel

    async def make(self, **arguments: Any) -> None:
        async with self._channel() as channel:
            await channel.declare_queue(
                self._queue, durable=True, arguments={"x-single-active-consumer": True, **arguments}
            )

    async def publish(self, body: bytes, *, name: str) -> None:
        self._published.append((body, name))
        async with self._channel() as channel:
            message = aio_pika.Message(body, message_id=name or None, delivery_mode=2)
            await channel.default_exchange.publish(message, routing_key=self._queue)

    async def publish_at(self, body: bytes, *, timestamp: int) -> None:
        """Publish with a timestamp that may be beyond all years; AMQP has 64 bits for the seconds."""
        real = pamqp.encode.METHODS["timestamp"]
        pamqp.encode.METHODS["timestamp"] = lambda _: struct.pack(">Q", timestamp)
        try:
            async with self._channel() as channel:
                message = aio_pika.Message(body, timestamp=datetime.now(UTC), headers={"at": datetime.now(UTC)})
                await channel.default_exchange.publish(message, routing_key=self._queue)
        finally:
            pamqp.encode.METHODS["timestamp"] = real

    async def unacknowledged(self) -> int:
        async with asyncio.timeout(_GONE_SECONDS), self._channel() as channel:
            while True:
                found = (await channel.declare_queue(self._queue, passive=True)).declaration_result
                # With the consumer of a connection that is gone, what it had not acknowledged is back in the queue.
                if not found.consumer_count:
                    return int(found.message_count or 0)

    async def deliver_again(self) -> None:
        for body, name in [*self._published]:
            await self.publish(body, name=name)


class KafkaTopic:
    """A topic of the Kafka that ``CAUSEWAY_TEST_KAFKA`` names, which makes topics when they are first written to."""

    def __init__(self, servers: str) -> None:
        self.process: BrokerProcess | None = None
        self._servers = servers
        name = secrets.token_hex(4)
        self._topic, self._group = f"events-{name}", f"group-{name}"
        self.settings: Mapping[str, str] = {
            "kafka_url": servers,
            "kafka_topic": self._topic,
            "kafka_group": self._group,
        }

    async def publish(self, body: bytes, *, name: str) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self._servers) as producer:
            await producer.send_and_wait(self._topic, body, key=b"one", headers=[("name", name.encode() + b"\xff")])

    async def unacknowledged(self) -> int:
        async with AIOKafkaConsumer(bootstrap_servers=self._servers, group_id=self._group) as consumer:
            partitions = await self._partitions(consumer)
            ends = await consumer.end_offsets(partitions)
            return sum([ends[item] - (await consumer.committed(item) or 0) for item in partitions])

    async def deliver_again(self) -> None:
        async with AIOKafkaConsumer(bootstrap_servers=self._servers, group_id=self._group) as consumer:
            partitions = await self._partitions(consumer)
            consumer.assign(partitions)
            await consumer.commit({item: OffsetAndMetadata(0, "") for item in partitions})

    async def _partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        await consumer.topics()
        return [TopicPartition(self._topic, number) for number in consumer.partitions_for_topic(self._topic) or ()]


@asynccontextmanager
async def running_broker(kind: str, folder: Path) -> AsyncIterator[BrokerProcess | str]:
    """Run a broker, or return the address of one that runs; raises BrokerNotHadError."""
    if kind == "kafka":
        servers = os.environ.get(KAFKA_VARIABLE)
        if not servers:
            raise BrokerNotHadError(f"Kafka comes in no package here; with one elsewhere: {KAFKA_VARIABLE}=host:port")
        yield servers
        return
    async with {"nats": running_nats, "rabbitmq": running_rabbitmq}[kind](folder) as process:
        yield process


async def new_queue(broker: BrokerProcess | str, kind: str) -> SourceQueue:
    """Return a fresh queue on a broker."""
    if isinstance(broker, str):
        return KafkaTopic(broker)
    queue = NatsQueue(broker) if kind == "nats" else RabbitQueue(broker)
    await queue.make()
    return queue


def body_of(event: Mapping[str, Any], *, tenant_id: str) -> bytes:
    """Return an event as it stands in a message."""
    return json.dumps({"tenant_id": tenant_id, **event}).encode()
