"""From messages of a broker into the database, in their order: only then are they acknowledged.

All messages of a source pass through here one batch at a time, however many handlers the broker's library runs at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from webhook_dispatcher.events.event import Event, InvalidEventError
from webhook_dispatcher.events.service import Acceptance, EventAcceptance
from webhook_dispatcher.intake.commitment import BATCH_BYTES, BATCH_MAX, Commitment
from webhook_dispatcher.intake.sources.message import Message
from webhook_dispatcher.intake.sources.metrics import SourceMetrics
from webhook_dispatcher.rejected_events.rejection import Rejection

log = structlog.get_logger()

GRACE_SECONDS = 1.5
"""How long a stop waits for a commit."""

_Parsed = tuple[Message, Event]
_Waiting = tuple[Sequence[Message], asyncio.Future[None]]


class SourceStoppedError(Exception):
    """The source stops, and these messages were not committed: they must not be acknowledged."""


class Acceptor:
    """See the module. ``run`` until stopped; ``accepted`` is told the webhooks that have new work."""

    def __init__(
        self,
        *,
        acceptance: EventAcceptance,
        keep: Callable[[Sequence[Rejection]], Awaitable[None]],
        accepted: Callable[[Sequence[UUID]], None],
        metrics: SourceMetrics,
    ) -> None:
        self._commitment: Commitment[Message, Rejection] = Commitment(
            acceptance, accepted=self._told, refused=Message.rejected, not_storable=_not_storable
        )
        self._keep = keep
        self._accepted = accepted
        self._metrics = metrics
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._stopping = asyncio.Event()

    def submit(self, messages: Sequence[Message], *, acknowledge: Callable[[], Awaitable[None]]) -> Awaitable[bool]:
        """Queue messages, at once; awaiting the result settles and acknowledges them. False: not committed, not acknowledged.

        The caller promises that all messages published before these were submitted: its source delivers in order, to one
        reader at a time. An acknowledgement that does not arrive is harmless: the messages come again, and are known.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._stopping.is_set():
            future.set_exception(SourceStoppedError())
        else:
            self._waiting.append((messages, future))
            self._arrived.set()
        return _finish(future, source=messages[0].source, acknowledge=acknowledge)

    def close(self) -> None:
        """Take no more, and end ``run`` soon."""
        self._stopping.set()
        self._arrived.set()

    async def run(self) -> None:
        """Settle until closed; what the database does not take in ``GRACE_SECONDS`` then is given up, and not acknowledged."""
        settling = asyncio.create_task(self._settle_all())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({settling, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not settling.done():
                await asyncio.wait({settling}, timeout=GRACE_SECONDS)
            if settling.done():
                await settling
        finally:
            stopping.cancel()
            settling.cancel()
            await asyncio.wait({settling})
            if self._waiting:
                log.info("source.given_up", messages=sum(len(messages) for messages, _ in self._waiting))
            for _, future in self._waiting:
                if not future.done():
                    future.set_exception(SourceStoppedError())
            self._waiting.clear()

    async def _settle_all(self) -> None:
        while self._waiting or not self._stopping.is_set():
            await self._arrived.wait()
            if not self._stopping.is_set():
                self._arrived.clear()
            while self._waiting:
                await self._settle_next()

    async def _settle_next(self) -> None:
        """Settle as many of those that wait as fit in a batch; they wait on until then, so nothing is lost on the way."""
        count = _fitting([messages for messages, _ in self._waiting])
        taken = [self._waiting[index] for index in range(count)]
        await self._process([message for messages, _ in taken for message in messages])
        for _, future in taken:
            self._waiting.popleft()
            if not future.done():
                future.set_result(None)

    async def _process(self, messages: Sequence[Message]) -> None:
        events: list[_Parsed] = []
        rejected: list[Rejection] = []
        for message in messages:
            try:
                events.append((message, message.event()))
            except InvalidEventError as exc:
                rejected.append(message.rejected(exc))
            except Exception:
                # A message that we cannot even judge must not stop the others; it waits in the list of rejected events.
                log.exception("source.message_not_judged", source=message.source, entry_id=message.entry_id)
                detail = "the message could not be judged; the fault is ours and was logged"
                fault = InvalidEventError("internal_error", [{"pointer": "", "detail": detail}])
                rejected.append(message.rejected(fault))
        rejected += await self._commitment.commit(events, in_turn=True)
        if rejected:
            await self._keep_rejected(rejected)

    def _told(self, acceptance: Acceptance, messages: Sequence[Message]) -> None:
        source = messages[0].source
        self._metrics.accepted.labels(source).inc(acceptance.accepted)
        self._metrics.duplicates.labels(source).inc(acceptance.duplicates)
        self._accepted(acceptance.webhooks)

    async def _keep_rejected(self, rejected: Sequence[Rejection]) -> None:
        await self._keep(rejected)
        for item in rejected:
            self._metrics.rejected.labels(item.source, item.reason).inc()
            log.warning("event.rejected", source=item.source, entry_id=item.entry_id, reason=item.reason)


def _fitting(waiting: Sequence[Sequence[Message]]) -> int:
    """Return how many of those that wait are settled together: at least one."""
    count = messages = size_bytes = 0
    for group in waiting:
        messages += len(group)
        size_bytes += sum(len(message.body) for message in group)
        if count and (messages > BATCH_MAX or size_bytes > BATCH_BYTES):
            break
        count += 1
    return count


async def _finish(future: asyncio.Future[None], *, source: str, acknowledge: Callable[[], Awaitable[None]]) -> bool:
    try:
        await future
    except SourceStoppedError:
        return False
    try:
        await acknowledge()
    except Exception as exc:  # noqa: BLE001 - each library has errors of its own
        log.info("source.not_acknowledged", source=source, reason=type(exc).__name__)
    return True


def _not_storable(message: Message) -> Rejection:
    fault = InvalidEventError("not_storable", [{"pointer": "", "detail": "the database refused it"}])
    return message.rejected(fault)
