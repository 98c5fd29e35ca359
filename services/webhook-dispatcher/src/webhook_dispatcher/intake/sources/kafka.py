"""Kafka: a consumer group, each partition read by one worker at a time, in order; a batch's offsets are committed after it.

Needs the extra ``kafka``.
"""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage, Topic
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from webhook_dispatcher.intake.commitment import BATCH_BYTES, BATCH_MAX
from webhook_dispatcher.intake.lag import QueueLag
from webhook_dispatcher.intake.sources.acceptor import Acceptor
from webhook_dispatcher.intake.sources.message import Message
from webhook_dispatcher.intake.sources.source import CLOSE_SECONDS, OpenSource, SourcePlan, raw
from webhook_dispatcher.settings import Settings

_BATCH_WAIT_MS = 100
_PARTITION_BYTES = 2 * 1024 * 1024
_SASL = {"plain": SASLPlaintext, "scram-sha-256": SASLScram256, "scram-sha-512": SASLScram512}


def plan(settings: Settings) -> SourcePlan:
    """Return the source that ``CAUSEWAY_KAFKA_*`` describes."""
    name = f"kafka:{settings.kafka_topic}"

    def open_broker(acceptor: Acceptor) -> OpenSource:
        broker = KafkaBroker(
            settings.kafka_url.split(","),
            security=_security(settings),
            logger=None,
            graceful_timeout=CLOSE_SECONDS,
            request_timeout_ms=10_000,
        )
        subscriber = broker.subscriber(
            Topic(settings.kafka_topic, declare=False),
            group_id=settings.kafka_group,
            batch=True,
            max_records=BATCH_MAX,
            batch_timeout_ms=_BATCH_WAIT_MS,
            fetch_max_bytes=BATCH_BYTES,
            max_partition_fetch_bytes=_PARTITION_BYTES,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
        )

        async def handle(message: KafkaMessage) -> None:
            records: Any = message.raw_message
            taken = [
                Message(
                    source=name,
                    entry_id=f"{record.partition}/{record.offset}",
                    body=record.value or b"",
                    sent_ms=max(record.timestamp, 0),
                )
                for record in records
            ]
            # Acknowledging commits the position, which the next batch moves: so that one is fetched after this returns.
            if not await acceptor.submit(taken, acknowledge=message.ack):
                await message.nack()

        subscriber(handle, parser=_without_headers, decoder=raw)

        async def check() -> None:
            """Nothing to look at: every consumer group reads a partition in order."""

        async def lag() -> QueueLag | None:
            consumer = subscriber.consumer
            assigned = consumer.assignment() if consumer else ()
            if consumer is None or not assigned:
                return None
            ends = await consumer.end_offsets(assigned)
            starts = await consumer.beginning_offsets(assigned)
            done = {item: await consumer.committed(item) for item in assigned}
            return QueueLag(unread=sum(max(0, ends[item] - (done[item] or starts[item])) for item in assigned))

        return OpenSource(broker=broker, check=check, lag=lag)

    return SourcePlan(name=name, open=open_broker)


async def _without_headers(records: Any, parse: Callable[[Any], Awaitable[Any]]) -> Any:
    """Parse a batch without its headers, which need not be text: one that is not would make the library skip the batch."""
    return await parse(tuple(dataclasses.replace(record, headers=()) for record in records))


def _security(settings: Settings) -> BaseSecurity | None:
    if settings.kafka_username:
        return _SASL[settings.kafka_sasl](
            settings.kafka_username, settings.kafka_password.get_secret_value(), use_ssl=settings.kafka_tls
        )
    return BaseSecurity(use_ssl=True) if settings.kafka_tls else None
