"""From the stream into the database: read, validate, commit, and only then acknowledge.

Each worker runs one. Entries of a consumer that died are taken over; what is invalid is kept in the database, and then goes to
the rejected stream with its reason, in the same MULTI that takes it off the incoming one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from webhook_dispatcher.events.event import Event, InvalidEventError, parse_streamed
from webhook_dispatcher.events.service import Acceptance, EventAcceptance, NotInTurnError
from webhook_dispatcher.intake.commitment import BATCH_BYTES, BATCH_MAX, Commitment, backoff_seconds
from webhook_dispatcher.intake.entries import (
    FIELD,
    Entry,
    Fields,
    Rejected,
    default_event_id,
    rejected_of,
    rejection_of,
    size_of,
    slices,
)
from webhook_dispatcher.intake.metrics import IntakeMetrics
from webhook_dispatcher.intake.turns import Turns
from webhook_dispatcher.rejected_events.rejection import Rejection
from webhook_dispatcher.settings import Settings

log = structlog.get_logger()

READ_MAX = BATCH_MAX
"""How many entries are read at once; of larger ones fewer."""
BLOCK_MS = 1000
WAITING_BLOCK_MS = 10
"""While entries wait for those before them: how soon to look again."""
CLAIM_EVERY_SECONDS = 2.0
REJECTED_MAX = 1_000_000
REJECTED_BYTES_MAX = 48 << 20
"""Valkey refuses every publisher once it is full, so what is rejected may take a small part of it. The database keeps it."""
_NO_GROUP = "NOGROUP"
_GROUP_EXISTS = "BUSYGROUP"

Parsed = tuple[Entry, Event]


class StreamIntake:
    """See the module. ``accepted`` is told the webhooks that have new work; ``keep`` writes rejected entries down."""

    def __init__(
        self,
        *,
        queue: Redis,
        acceptance: EventAcceptance,
        settings: Settings,
        consumer: str,
        metrics: IntakeMetrics,
        accepted: Callable[[Sequence[UUID]], None],
        keep: Callable[[Sequence[Rejection]], Awaitable[None]],
    ) -> None:
        self._queue = queue
        self._acceptance = acceptance
        self._commitment: Commitment[Entry, Rejected] = Commitment(
            acceptance, accepted=self._told, refused=_refused, not_storable=_not_storable
        )
        self._stream = settings.stream
        self._rejected_stream = f"{settings.stream}:rejected"
        self._group = settings.stream_group
        self._claim_idle_ms = int(settings.stream_claim_idle_seconds * 1000)
        self._consumer = consumer
        self._metrics = metrics
        self._accepted = accepted
        self._keep = keep
        self._stopping = False
        self._stopped = asyncio.Event()
        self._claimed_at = 0.0
        self._read_count = READ_MAX
        self._turns = Turns(queue, stream=self._stream, group=self._group)

    async def run(self) -> None:
        """Read until stopped; connects again for ever."""
        failures = 0
        try:
            while not self._stopping:
                # Nothing that the queue server says ends a worker: what is in the database is delivered without it.
                try:
                    await self._process_next()
                    failures = 0
                except (RedisError, OSError, TimeoutError) as exc:
                    log.warning("intake.waiting", reason=type(exc).__name__, detail=str(exc)[:200])
                    await asyncio.sleep(backoff_seconds(failures))
                    failures += 1
            await self._leave()
        finally:
            self._stopped.set()
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Finish the batch at hand and read no more."""
        self._stopping = True
        await self._stopped.wait()

    async def _process_next(self) -> None:
        try:
            for batch in slices(await self._turns.take(), bytes_max=BATCH_BYTES):
                await self._process(batch, in_turn=True)
            for batch in slices(await self._read(), bytes_max=BATCH_BYTES):
                await self._process(batch)
        except ResponseError as exc:
            if not str(exc).startswith(_NO_GROUP):
                raise
            await self._make_group()

    async def _read(self) -> list[Entry]:
        now = time.monotonic()
        if now - self._claimed_at >= CLAIM_EVERY_SECONDS:
            self._claimed_at = now
            _, entries, *_ = await self._queue.xautoclaim(
                self._stream, self._group, self._consumer, min_idle_time=self._claim_idle_ms, count=self._read_count
            )
            if entries:
                log.info("intake.claimed", entries=len(entries))
                self._claimed_at = 0.0
                return list(entries)
        if self._turns.is_full:
            await asyncio.sleep(WAITING_BLOCK_MS / 1000)
            return []
        block_ms = WAITING_BLOCK_MS if self._turns.anybody_waits else BLOCK_MS
        streams = await self._queue.xreadgroup(
            self._group, self._consumer, {self._stream: ">"}, count=self._read_count, block=block_ms
        )
        return [entry for _, entries in streams or () for entry in entries]

    async def _process(self, entries: Sequence[Entry], *, in_turn: bool = False) -> None:
        """Commit a batch and acknowledge it, without what has to wait for its turn. ``in_turn``: its turn has come."""
        largest = max(size_of(entry) for entry in entries)
        self._read_count = max(1, min(READ_MAX, 2 * BATCH_BYTES // max(1, largest)))
        started = time.perf_counter()
        events, rejected = self._judge(entries)
        waiting: frozenset[bytes] = frozenset()
        if not in_turn:
            waiting, in_turn = await self._wait_for_turn(events, batch=entries)
        try:
            due = [item for item in events if item[0][0] not in waiting]
            rejected += await self._commitment.commit(due, in_turn=in_turn)
        except NotInTurnError:
            # A webhook became ordered a moment ago, so which of these wait is known only now.
            await self._process(entries)
            return
        if rejected:
            await self._keep([rejection_of(self._stream, item) for item in rejected])
        done = [entry_id for entry_id, _ in entries if entry_id not in waiting]
        if done:
            await self._acknowledge(done, rejected)
        self._metrics.read.inc(len(done))
        self._metrics.seconds.observe(time.perf_counter() - started)

    async def _wait_for_turn(
        self, events: Sequence[Parsed], *, batch: Sequence[Entry]
    ) -> tuple[frozenset[bytes], bool]:
        """Return the entries that have to wait, and whether the others are known to be in their turn."""
        wanted = await self._acceptance.wanted_in_order([event for _, event in events])
        ordered = [entry for (entry, _), in_order in zip(events, wanted, strict=True) if in_order]
        if not ordered or await self._turns.have_come(ordered, batch=batch):
            return frozenset(), bool(ordered)
        return frozenset(entry_id for entry_id, _ in ordered), False

    def _judge(self, entries: Sequence[Entry]) -> tuple[list[Parsed], list[Rejected]]:
        """Return the events of entries, and what cannot be accepted."""
        events: list[Parsed] = []
        rejected: list[Rejected] = []
        now = datetime.now(UTC)
        for entry_id, fields in entries:
            # An entry deleted from the stream while it was pending has no fields: there is nothing left to accept.
            if not fields:
                continue
            try:
                events.append(((entry_id, fields), self._parse(entry_id, fields, now)))
            except InvalidEventError as exc:
                rejected.append(rejected_of(entry_id, fields, exc))
            except Exception:
                # An entry that we cannot even judge must not stop the others; it waits on the rejected stream.
                log.exception("intake.entry_not_judged", entry_id=entry_id.decode())
                detail = "the entry could not be judged; the fault is ours and was logged"
                rejected.append(Rejected(entry_id=entry_id, fields=fields, code="internal_error", detail=detail))
        return events, rejected

    def _parse(self, entry_id: bytes, fields: Fields, now: datetime) -> Event:
        if fields.keys() != {FIELD}:
            detail = "a stream entry has exactly one field, `event`"
            raise InvalidEventError("invalid_entry", [{"pointer": "", "detail": detail}])
        return parse_streamed(fields[FIELD], default_id=partial(default_event_id, self._stream, entry_id), now=now)

    def _told(self, acceptance: Acceptance, _entries: Sequence[Entry]) -> None:
        self._metrics.accepted.inc(acceptance.accepted)
        self._metrics.duplicates.inc(acceptance.duplicates)
        self._accepted(acceptance.webhooks)

    async def _acknowledge(self, entry_ids: Sequence[bytes], rejected: Sequence[Rejected]) -> None:
        """Take entries off the stream, rejected ones with a copy on the rejected stream. All or nothing."""
        try:
            await self._take_off(entry_ids, copied=rejected)
        except OutOfMemoryError:
            if not rejected:
                raise
            # The database has them. To wait for room, which only taking entries off makes, would stop every publisher.
            log.warning("intake.rejected_not_copied", entries=len(rejected))
            await self._take_off(entry_ids, copied=())
        if rejected:
            await self._bound_rejected()
        for item in rejected:
            self._metrics.rejected.labels(item.code).inc()
            log.warning("event.rejected", entry_id=item.entry_id.decode(), reason=item.code, detail=item.detail)

    async def _take_off(self, entry_ids: Sequence[bytes], *, copied: Sequence[Rejected]) -> None:
        async with self._queue.pipeline(transaction=True) as pipe:
            for item in copied:
                values: dict[Any, Any] = {
                    **item.fields,
                    b"reason": item.code.encode(),
                    b"detail": item.detail.encode(),
                    b"entry_id": item.entry_id,
                    b"rejected_at": datetime.now(UTC).isoformat().replace("+00:00", "Z").encode(),
                }
                pipe.xadd(self._rejected_stream, values, maxlen=REJECTED_MAX, approximate=True)
            pipe.xack(self._stream, self._group, *entry_ids)
            pipe.xdel(self._stream, *entry_ids)
            await pipe.execute()

    async def _bound_rejected(self) -> None:
        """Drop the older half of the rejected stream, and again, while it takes too much room."""
        while (await self._queue.memory_usage(self._rejected_stream) or 0) > REJECTED_BYTES_MAX:
            kept = await self._queue.xlen(self._rejected_stream) // 2
            dropped = await self._queue.xtrim(self._rejected_stream, maxlen=kept, approximate=False)
            log.warning("intake.rejected_stream_trimmed", dropped=dropped, kept=kept)
            if kept == 0:
                return

    async def _make_group(self) -> None:
        """Make the consumer group from the stream's beginning, as at first start and after the queue was emptied."""
        try:
            await self._queue.xgroup_create(self._stream, self._group, id="0", mkstream=True)
            log.info("intake.group_made", stream=self._stream)
        except ResponseError as exc:
            if not str(exc).startswith(_GROUP_EXISTS):
                raise

    async def _leave(self) -> None:
        """Remove our consumer, which has nothing pending now: every batch was acknowledged."""
        try:
            async with asyncio.timeout(1):
                pending = await self._queue.xpending_range(
                    self._stream, self._group, min="-", max="+", count=1, consumername=self._consumer
                )
                if not pending:
                    await self._queue.xgroup_delconsumer(self._stream, self._group, self._consumer)
        except (RedisError, OSError, TimeoutError) as exc:
            log.info("intake.consumer_left_behind", reason=type(exc).__name__)


def _refused(entry: Entry, exc: InvalidEventError) -> Rejected:
    return rejected_of(*entry, exc)


def _not_storable(entry: Entry) -> Rejected:
    entry_id, fields = entry
    return Rejected(entry_id=entry_id, fields=fields, code="not_storable", detail="the database refused it")
