"""The partitions of today and the next days. Nothing waits for them: ids of a day without one land in the default partition."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import structlog
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.exc import SQLAlchemyError

from shared.database import Database
from webhook_dispatcher.maintenance import repository

log = structlog.get_logger()

DAYS_AHEAD = 7
_START_SECONDS = 3.0


class Partitions:
    """Makes the partitions; keeps the gauge of those that could not be made."""

    def __init__(self, database: Database, registry: CollectorRegistry) -> None:
        self._database = database
        self._missing = Gauge(
            "causeway_partitions_missing",
            "Partitions of today and the next days that could not be made at the last try",
            registry=registry,
        )

    async def make(self, *, today: date | None = None) -> int:
        """Make what is missing, each by itself: one that fails stops no other. Returns how many failed; they are tried next time.

        Raises what the database raises when it cannot even be asked what is missing.
        """
        first = today or datetime.now(UTC).date()
        async with self._database.transaction() as session:
            missing = await repository.find_missing(
                session, days=[first + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
            )
        self._missing.set(len(missing))
        failed = 0
        for parent, day in missing:
            try:
                async with self._database.transaction() as session:
                    await repository.make_partition(session, parent=parent, day=day)
                self._missing.dec()
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                failed += 1
                log.warning("partition.not_made", table=parent, day=day.isoformat(), error=str(exc)[:300])
        return failed

    async def make_at_start(self) -> None:
        """Make them before events are taken in, as far as a short time allows; go on without them otherwise."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self.make()
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            log.warning("partitions.not_made_at_start", reason=type(exc).__name__)
