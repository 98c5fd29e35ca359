"""Publishes the outbox: each event until the dispatcher has it, those of one key in order.

An event leaves the outbox after the dispatcher said that it is committed there; a repetition has the same id, and counts once.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter
from sqlalchemy.exc import SQLAlchemyError

from shared.access import Realm
from shared.database import Database
from shared.publisher import EventRefusedError, HttpPublisher, PublisherUnavailableError
from wallet_gateway.outbox import repository
from wallet_gateway.outbox.repository import OutboxRow

log = structlog.get_logger()

BATCH_MAX: Final = 200
_TAKEN_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 1.0
_TOGETHER_SECONDS: Final = 0.05
_BACKOFF_SECONDS: Final = (0.5, 1, 2, 5, 10, 30, 60)


class OutboxPublisher:
    """One per worker. ``run`` until cancelled."""

    def __init__(self, database: Database, publisher: HttpPublisher, registry: CollectorRegistry) -> None:
        self._database = database
        self._publisher = publisher
        self._look = asyncio.Event()
        self._published = Counter("causeway_outbox_published", "Events that the dispatcher took", registry=registry)
        self._failed = Counter("causeway_outbox_failed", "Events that it did not take", ("code",), registry=registry)

    def look_soon(self) -> None:
        """Tell that there is something new."""
        self._look.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            self._look.clear()
            try:
                taken = await self.publish_due()
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                log.warning("outbox.waits", reason=type(exc).__name__)
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            if taken:
                # What comes meanwhile leaves together: at most so many batches a second, and none waits after a quiet time.
                await asyncio.sleep(_TOGETHER_SECONDS)
            else:
                try:
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._look.wait()
                except TimeoutError:
                    pass

    async def publish_due(self) -> int:
        """Publish what is due, once; returns how many events were tried."""
        async with self._database.autocommit() as connection:
            rows = await repository.take(connection, limit=BATCH_MAX, seconds=_TAKEN_SECONDS)
        by_realm: dict[Realm, list[OutboxRow]] = defaultdict(list)
        for row in rows:
            by_realm[row.realm].append(row)
        for realm, events in by_realm.items():
            await self._publish(realm, events)
        return len(rows)

    async def _publish(self, realm: Realm, rows: Sequence[OutboxRow]) -> None:
        ids = [row.id for row in rows]
        try:
            await self._publisher.publish_bodies(realm, [row.body for row in rows])
        except (EventRefusedError, PublisherUnavailableError) as failed:
            if isinstance(failed, EventRefusedError) and len(rows) > 1:
                # One of them refuses the whole batch: the others do not wait for it.
                for row in rows:
                    await self._publish(realm, [row])
                return
            self._failed.labels(failed.code).inc(len(rows))
            seconds = _BACKOFF_SECONDS[min(rows[0].attempts, len(_BACKOFF_SECONDS)) - 1]
            log.warning("outbox.not_published", code=failed.code, events=len(rows), event_id=rows[0].event_id)
            async with self._database.autocommit() as connection:
                await repository.put_off(connection, ids, seconds=seconds, error=failed.code)
            return
        async with self._database.autocommit() as connection:
            await repository.delete(connection, ids)
        self._published.inc(len(rows))
