"""The engine of a worker: lanes, wake-ups, pump, recorder and intake in one event loop. Entry: ``Engine.run``.

The way of a delivery: ``intake`` (stream → database) → ``wake_up`` → ``pump`` (claim) → ``attempt`` (send, decide) →
``recorder`` (outcome → database).
"""

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from webhook_dispatcher.deliveries.sender import HttpSender
from webhook_dispatcher.intake.lag import LagMetrics, StreamLagWatch
from webhook_dispatcher.intake.metrics import IntakeMetrics
from webhook_dispatcher.intake.sources.acceptor import Acceptor
from webhook_dispatcher.intake.sources.configured import open_sources
from webhook_dispatcher.intake.sources.metrics import SourceMetrics
from webhook_dispatcher.intake.stream import StreamIntake
from webhook_dispatcher.lanes import health_repository, recovery_repository, wake_up
from webhook_dispatcher.lanes.breaker import BreakerPolicy
from webhook_dispatcher.lanes.destinations import Destinations
from webhook_dispatcher.lanes.health import HealthKeeper
from webhook_dispatcher.lanes.health_metrics import NAMED_MAX, HealthMetrics
from webhook_dispatcher.lanes.lane import lane_of
from webhook_dispatcher.lanes.leases import RENEW_SECONDS, Leases
from webhook_dispatcher.lanes.pump import Pump
from webhook_dispatcher.lanes.recorder import Recorder, RecorderMetrics
from webhook_dispatcher.lanes.repository import Record
from webhook_dispatcher.lanes.selection import Selection
from webhook_dispatcher.recoveries.runner import RecoveryRunner
from webhook_dispatcher.rejected_events.service import RejectedEvents
from webhook_dispatcher.resources import WorkerResources
from webhook_dispatcher.settings import Settings

log = structlog.get_logger()

FINISH_SECONDS = 6.0
"""How long a stop waits for requests in flight; the rest of the stop's 8 s writes their outcomes."""
OVERVIEW_SECONDS = 10.0
_NEAR_SECONDS = 2.0
_DELETED_PAUSE = 50
"""A look at what was deleted is followed by a pause of so many times its length."""


class Engine:
    """See the module. ``run`` until cancelled; ``stop`` first for an orderly end."""

    def __init__(self, resources: WorkerResources) -> None:
        settings = resources.settings
        self._resources = resources
        self._leases = Leases(resources.database, name=resources.worker_name, lease_seconds=settings.lease_seconds)
        destinations = Destinations(today=self._leases.database_clock.now)
        self._health_metrics = HealthMetrics(resources.registry)
        self._health = HealthKeeper(
            database=resources.database,
            worker_id=self._leases.worker_id,
            destinations=destinations,
            policy=_breaker_policy(settings),
            metrics=self._health_metrics,
            now=self._leases.database_clock.now,
            published=self._after_acceptance,
        )
        self._recorder = Recorder(
            resources.database,
            RecorderMetrics(resources.registry),
            recorded=self._after_records,
            disable_gone=self._health.disable_gone,
        )
        self._pump = Pump(
            database=resources.database,
            keyring=resources.keyring,
            sender=HttpSender(resources.egress),
            recorder=self._recorder,
            leases=self._leases,
            selection=Selection(
                slots=settings.slots,
                retry_share=settings.retry_slots_share,
                destinations=destinations,
                serves=self._leases.serves,
            ),
            destinations=destinations,
            health=self._health,
            tracing=resources.tracing,
        )
        keep = RejectedEvents(resources.database).keep
        self._intake = StreamIntake(
            queue=resources.intake_queue,
            acceptance=resources.acceptance,
            settings=settings,
            consumer=resources.worker_name,
            metrics=IntakeMetrics(resources.registry),
            accepted=self._after_acceptance,
            keep=keep,
        )
        source_metrics = SourceMetrics(resources.registry)
        lag_metrics = LagMetrics(resources.registry)
        self._stream_lag = StreamLagWatch(
            resources.hint_queue, stream=settings.stream, group=settings.stream_group, metrics=lag_metrics
        )
        self._sources = open_sources(
            settings,
            make_acceptor=lambda: Acceptor(
                acceptance=resources.acceptance,
                keep=keep,
                accepted=self._after_acceptance,
                metrics=source_metrics,
            ),
            metrics=source_metrics,
            lag=lag_metrics,
        )
        self._recoveries = RecoveryRunner(
            resources.database, rate_per_second=settings.recovery_rate_per_second, woken=self._after_acceptance
        )
        self._look_now = asyncio.Event()
        self._not_remembered: frozenset[int] = frozenset()
        self._deleted_due_at = 0.0
        self._overview_at = -math.inf

    async def run(self) -> None:
        """Work until cancelled. A part that fails for a reason not foreseen ends the engine, and so the process."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_lanes())
            group.create_task(self._pump.run())
            group.create_task(self._recorder.run())
            group.create_task(self._health.run())
            group.create_task(self._take_in())
            group.create_task(self._recoveries.run())
            group.create_task(self._stream_lag.run())
            group.create_task(
                wake_up.listen(self._resources.listen_queue, wake=self._pump.wake, look=self._look_now.set)
            )

    async def stop(self) -> None:
        """Take no more work, finish what is in flight, write it down, give up the lanes."""
        self._pump.close()
        self._recoveries.close()
        await asyncio.gather(self._intake.stop(), *(source.stop() for source in self._sources))
        await self._pump.finish(deadline_seconds=FINISH_SECONDS)
        await self._recorder.drain()
        await self._health.drain()
        await self._leases.give_up()

    async def _take_in(self) -> None:
        """Make sure that the day has its partitions before anything is written to it; what is there is delivered meanwhile."""
        await self._resources.partitions.make_at_start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._intake.run())
            for source in self._sources:
                group.create_task(source.run())

    async def _keep_lanes(self) -> None:
        """Once a second, and when asked: renew the leases and look for due work that no hint told of."""
        while True:
            try:
                await self._look()
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                log.warning("lanes.waiting", reason=type(exc).__name__)
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._look_now.wait()
            except TimeoutError:
                pass
            self._look_now.clear()

    async def _look(self) -> None:
        async with asyncio.timeout(self._resources.settings.lease_seconds):
            owned = self._leases.lanes
            await self._leases.renew(busy=self._busy_lanes())
            self._not_remembered |= self._leases.lanes - owned
            async with self._resources.database.autocommit() as connection:
                worker_id = self._leases.worker_id
                await self._remember_health(connection)
                lost = await recovery_repository.recover_unknown(connection, worker_id=worker_id)
                if lost:
                    log.warning("deliveries.recovered", count=lost)
                await self._cancel_of_deleted(connection)
                asked_at = time.monotonic()
                due = await recovery_repository.find_due(connection, worker_id=worker_id)
                await self._show_overview(connection)
        self._health_metrics.lane_lag_seconds.set(due.lag_seconds)
        self._pump.wake_due(due.webhooks, asked_at=asked_at)

    async def _cancel_of_deleted(self, connection: AsyncConnection) -> None:
        """Look at what was deleted, however long ago, but for no more than a small part of the time: there may be very many."""
        started_at = time.monotonic()
        if started_at >= self._deleted_due_at:
            cancelled = await recovery_repository.cancel_of_deleted(connection, worker_id=self._leases.worker_id)
            now = time.monotonic()
            self._deleted_due_at = now + (now - started_at) * (0 if cancelled else _DELETED_PAUSE)

    async def _remember_health(self, connection: AsyncConnection) -> None:
        """Take over the health of webhooks in lanes that are new to us."""
        lanes = self._not_remembered & self._leases.lanes
        if lanes:
            failing = await health_repository.load_failing(
                connection, worker_id=self._leases.worker_id, lanes=sorted(lanes)
            )
            self._health.remember(failing, lanes=lanes)
        self._not_remembered = frozenset()

    async def _show_overview(self, connection: AsyncConnection) -> None:
        if time.monotonic() - self._overview_at >= OVERVIEW_SECONDS:
            self._overview_at = time.monotonic()
            self._pump.look_for_strays()
            self._health_metrics.show(
                await health_repository.find_overview(
                    connection, worker_id=self._leases.worker_id, oldest_max=NAMED_MAX
                )
            )

    def _busy_lanes(self) -> set[int]:
        """Return the lanes with a request in flight or an outcome not written: they cannot be given up yet."""
        return {lane_of(webhook_id) for webhook_id in (*self._pump.busy_webhooks(), *self._recorder.busy_webhooks())}

    def _after_acceptance(self, webhooks: Sequence[UUID]) -> None:
        """Wake our own pump, and tell the other workers about webhooks in their lanes."""
        self._pump.wake(webhooks)
        self._resources.wake_ups.publish_soon([item for item in webhooks if not self._leases.serves(item)])

    def _after_records(self, records: Sequence[Record]) -> None:
        """Time the retries of the near future to the moment; the others are found by the look of each second.

        What ended for an ordered webhook may have let the next one of its key go.
        """
        self._pump.wake(record.claimed.webhook_id for record in records if record.ordered)
        for record in records:
            if record.next_attempt_after is not None:
                seconds = record.next_attempt_after.total_seconds()
                if seconds < _NEAR_SECONDS:
                    self._pump.wake_in(record.claimed.webhook_id, seconds)


def _breaker_policy(settings: Settings) -> BreakerPolicy:
    return BreakerPolicy(
        failures_to_open=settings.breaker_failures,
        probe_seconds=settings.breaker_probe_seconds,
        probe_seconds_max=settings.breaker_probe_seconds_max,
        disable_after=timedelta(days=settings.disable_after_days) if settings.disable_after_days else None,
    )
