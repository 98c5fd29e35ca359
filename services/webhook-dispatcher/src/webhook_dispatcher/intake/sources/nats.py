"""NATS JetStream: a durable pull consumer with one message on its way at a time, over all workers, so that order is kept.

Needs the extra ``nats``.
"""

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.js.api import AckPolicy as ConsumerAckPolicy
from nats.js.api import ConsumerConfig
from nats.js.errors import NotFoundError

from webhook_dispatcher.intake.lag import QueueLag
from webhook_dispatcher.intake.sources.acceptor import Acceptor
from webhook_dispatcher.intake.sources.message import Message
from webhook_dispatcher.intake.sources.source import CLOSE_SECONDS, OpenSource, SourcePlan, UnfitSourceError, raw
from webhook_dispatcher.settings import Settings

ACK_WAIT_SECONDS = 10.0
"""So long a message that a killed worker had read holds up the ones behind it."""
_FETCH_SECONDS = 1.0


def plan(settings: Settings) -> SourcePlan:
    """Return the source that ``CAUSEWAY_NATS_*`` describes."""
    name = f"nats:{settings.nats_stream}"

    def open_broker(acceptor: Acceptor) -> OpenSource:
        broker = NatsBroker(
            settings.nats_url.get_secret_value().split(","), logger=None, graceful_timeout=CLOSE_SECONDS
        )
        subscriber = broker.subscriber(
            settings.nats_subject,
            stream=JStream(settings.nats_stream, declare=False),
            durable=settings.nats_durable,
            config=ConsumerConfig(
                ack_policy=ConsumerAckPolicy.EXPLICIT, ack_wait=ACK_WAIT_SECONDS, max_ack_pending=1, max_deliver=-1
            ),
            pull_sub=PullSub(batch_size=1, timeout=_FETCH_SECONDS),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
        )

        async def handle(message: NatsMessage) -> None:
            metadata = message.raw_message.metadata
            taken = Message(
                source=name,
                entry_id=str(metadata.sequence.stream),
                body=message.raw_message.data,
                sent_ms=int(metadata.timestamp.timestamp() * 1000),
            )
            await acceptor.submit([taken], acknowledge=message.ack_sync)

        subscriber(handle, decoder=raw)

        async def check() -> None:
            client = await broker.connect()
            try:
                found = (await client.jetstream().consumer_info(settings.nats_stream, settings.nats_durable)).config
            except NotFoundError:
                return
            if (
                found.max_ack_pending != 1
                or found.ack_policy != ConsumerAckPolicy.EXPLICIT
                or found.filter_subject not in (None, "", settings.nats_subject)
                or found.max_deliver not in (None, -1)
            ):
                raise UnfitSourceError(
                    f"consumer {settings.nats_durable} must acknowledge explicitly, with max_ack_pending 1,"
                    f" unlimited deliveries and the subject {settings.nats_subject}"
                )

        async def lag() -> QueueLag | None:
            client = await broker.connect()
            found = await client.jetstream().consumer_info(settings.nats_stream, settings.nats_durable)
            return QueueLag(unread=found.num_pending or 0, pending=found.num_ack_pending or 0)

        return OpenSource(broker=broker, check=check, lag=lag)

    return SourcePlan(name=name, open=open_broker)
