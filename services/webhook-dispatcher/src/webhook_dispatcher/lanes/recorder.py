"""Records outcomes: collects them for a few milliseconds and writes each batch in one statement.

Nothing is forgotten while the database is away: a batch is tried until it is written, and what was written already is left
alone by the statement itself.
"""

import asyncio
from collections import Counter as Counted
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from sqlalchemy.exc import SQLAlchemyError

from shared import typeids
from shared.database import Database, refuses_data
from webhook_dispatcher.events.service import RealmKeepsChangingError
from webhook_dispatcher.lanes import record_repository
from webhook_dispatcher.lanes.repository import Record

log = structlog.get_logger()

BATCH_MAX = 1000
COLLECT_SECONDS = 0.025
"""How long outcomes wait for company. Each write waits for the disk, and whatever is accepted or claimed meanwhile waits too."""
ORDERED_COLLECT_SECONDS = 0.003
"""The same where the next delivery of a key waits for the end of this one."""
_BACKOFF_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)


class RecorderMetrics:
    """Deliveries by outcome, and how long attempts took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter("causeway_attempts", "Attempts by outcome", ("outcome",), registry=registry)
        self.deliveries = Counter(
            "causeway_deliveries_recorded",
            "Deliveries by the state an attempt left them in",
            ("status",),
            registry=registry,
        )
        self.fenced = Counter(
            "causeway_records_fenced", "Outcomes not written since the lane had another owner", registry=registry
        )
        self.seconds = Histogram(
            "causeway_attempt_seconds",
            "Duration of attempts",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=registry,
        )


class _Line:
    """Outcomes that wait to be written, and those that are being written."""

    def __init__(self, collect_seconds: float) -> None:
        self._collect_seconds = collect_seconds
        self.waiting: list[Record] = []
        self.writing: Sequence[Record] = ()
        self.arrived = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()

    def put(self, record: Record) -> None:
        self.waiting.append(record)
        self.arrived.set()
        self.idle.clear()

    async def run(self, write: Callable[[Sequence[Record]], Awaitable[None]]) -> None:
        while True:
            await self.arrived.wait()
            await asyncio.sleep(self._collect_seconds)
            self.writing, self.waiting = self.waiting[:BATCH_MAX], self.waiting[BATCH_MAX:]
            if not self.waiting:
                self.arrived.clear()
            await write(self.writing)
            self.writing = ()
            if not self.waiting:
                self.idle.set()


class Recorder:
    """One per worker. ``disable_gone`` disables webhooks whose destination answered 410.

    Outcomes for ordered webhooks are written apart from the others: ending one takes its turn at the row of its key, which
    whoever accepts events for the key may hold just then, and nobody else's outcomes wait for that.
    """

    def __init__(
        self,
        database: Database,
        metrics: RecorderMetrics,
        *,
        recorded: Callable[[Sequence[Record]], None],
        disable_gone: Callable[[Mapping[UUID, str]], Awaitable[None]],
    ) -> None:
        self._database = database
        self._disable_gone = disable_gone
        self._metrics = metrics
        self._recorded = recorded
        self._unordered = _Line(COLLECT_SECONDS)
        self._ordered = _Line(ORDERED_COLLECT_SECONDS)

    def put(self, record: Record) -> None:
        """Take an outcome; it is written soon."""
        (self._ordered if record.ordered else self._unordered).put(record)

    def unrecorded(self) -> list[UUID]:
        """Return the deliveries whose outcome is not written yet."""
        return [record.claimed.id for record in self._held()]

    def busy_webhooks(self) -> list[UUID]:
        """Return the webhooks with an outcome that is not written yet."""
        return [record.claimed.webhook_id for record in self._held()]

    async def drain(self) -> None:
        """Wait until all outcomes are written."""
        await self._unordered.idle.wait()
        await self._ordered.idle.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for line in (self._unordered, self._ordered):
                group.create_task(line.run(self._write))

    def _held(self) -> Iterator[Record]:
        for line in (self._unordered, self._ordered):
            yield from line.waiting
            yield from line.writing

    async def _write(self, records: Sequence[Record]) -> None:
        recorded = await self._write_until_taken(records)
        self._report([record for record in records if record.claimed.id in recorded])
        if len(recorded) < len(records):
            self._metrics.fenced.inc(len(records) - len(recorded))
            log.warning("records.fenced", count=len(records) - len(recorded))
        self._recorded(records)

    async def _write_until_taken(self, records: Sequence[Record]) -> frozenset[UUID]:
        """Write, and try again while the database is away; an outcome that it refuses is written without its details."""
        gone = {record.claimed.webhook_id: record.url for record in records if record.gone and record.url}
        attempt = 0
        while True:
            try:
                if gone:
                    # Before the outcome: once that is written the delivery could be claimed again.
                    await self._disable_gone(gone)
                async with self._database.autocommit() as connection:
                    return await record_repository.record(connection, records)
            except (SQLAlchemyError, OSError, RealmKeepsChangingError) as exc:
                if refuses_data(exc):
                    return await self._write_apart(records)
                delay = _BACKOFF_SECONDS[min(attempt, len(_BACKOFF_SECONDS) - 1)]
                attempt += 1
                log.warning("records.waiting", records=len(records), reason=type(exc).__name__, attempt=attempt)
                await asyncio.sleep(delay)

    async def _write_apart(self, records: Sequence[Record]) -> frozenset[UUID]:
        """Find the outcome that the database refuses, so that one destination's odd answer holds up nobody else."""
        if len(records) > 1:
            middle = len(records) // 2
            first = await self._write_until_taken(records[:middle])
            return first | await self._write_until_taken(records[middle:])
        record = records[0]
        bare = replace(
            record, request_headers=None, request_body=None, response_headers=None, response_body=None, url=None
        )
        log.error("record.refused", delivery_id=typeids.encode("dlv", record.claimed.id), bare=bare == record)
        return frozenset() if bare == record else await self._write_until_taken([bare])

    def _report(self, records: Sequence[Record]) -> None:
        for outcome, count in Counted(record.outcome for record in records).items():
            self._metrics.attempts.labels(outcome).inc(count)
        for status, count in Counted(record.status for record in records).items():
            self._metrics.deliveries.labels(status).inc(count)
        for record in records:
            self._metrics.seconds.observe(record.duration_ms / 1000)
