"""The engine of a worker: lanes, wake-ups, pump, recorder and intake in one event loop. Entry: ``Engine.run``.

The way of a delivery: ``intake`` (stream → database) → ``wake_up`` → ``pump`` (claim) → ``attempt`` (send, decide) →
``recorder`` (outcome → database).
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from webhook_dispatcher.deliveries.sender import HttpSender
from webhook_dispatcher.intake.metrics import IntakeMetrics
from webhook_dispatcher.intake.stream import StreamIntake
from webhook_dispatcher.lanes import recovery_repository, wake_up
from webhook_dispatcher.lanes.lane import lane_of
from webhook_dispatcher.lanes.leases import RENEW_SECONDS, Leases
from webhook_dispatcher.lanes.pump import Pump
from webhook_dispatcher.lanes.recorder import Recorder, RecorderMetrics, seconds_until
from webhook_dispatcher.lanes.repository import Record
from webhook_dispatcher.recoveries.runner import RecoveryRunner
from webhook_dispatcher.rejected_events.service import RejectedEvents
from webhook_dispatcher.resources import WorkerResources

log = structlog.get_logger()

FINISH_SECONDS = 6.0
"""How long a stop waits for requests in flight; the rest of the stop's 8 s writes their outcomes."""
_NEAR_SECONDS = 2.0


class Engine:
    """See the module. ``run`` until cancelled; ``stop`` first for an orderly end."""

    def __init__(self, resources: WorkerResources) -> None:
        settings = resources.settings
        self._resources = resources
        self._leases = Leases(resources.database, name=resources.worker_name, lease_seconds=settings.lease_seconds)
        self._recorder = Recorder(resources.database, RecorderMetrics(resources.registry), recorded=self._after_records)
        self._pump = Pump(
            database=resources.database,
            keyring=resources.keyring,
            sender=HttpSender(resources.egress),
            recorder=self._recorder,
            leases=self._leases,
            slots=settings.slots,
        )
        self._intake = StreamIntake(
            queue=resources.intake_queue,
            acceptance=resources.acceptance,
            settings=settings,
            consumer=resources.worker_name,
            metrics=IntakeMetrics(resources.registry),
            accepted=self._after_acceptance,
            keep=RejectedEvents(resources.database).keep,
        )
        self._recoveries = RecoveryRunner(
            resources.database, rate_per_second=settings.recovery_rate_per_second, woken=self._after_acceptance
        )
        self._look_now = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled. A part that fails for a reason not foreseen ends the engine, and so the process."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_lanes())
            group.create_task(self._pump.run())
            group.create_task(self._recorder.run())
            group.create_task(self._take_in())
            group.create_task(self._recoveries.run())
            group.create_task(
                wake_up.listen(self._resources.listen_queue, wake=self._pump.wake, look=self._look_now.set)
            )

    async def stop(self) -> None:
        """Take no more work, finish what is in flight, write it down, give up the lanes."""
        self._pump.close()
        self._recoveries.close()
        await self._intake.stop()
        await self._pump.finish(deadline_seconds=FINISH_SECONDS)
        await self._recorder.drain()
        await self._leases.give_up()

    async def _take_in(self) -> None:
        """Make sure that the day has its partitions before anything is written to it; what is there is delivered meanwhile."""
        await self._resources.partitions.make_at_start()
        await self._intake.run()

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
            await self._leases.renew(busy=self._busy_lanes())
            async with self._resources.database.autocommit() as connection:
                worker_id = self._leases.worker_id
                lost = await recovery_repository.recover_unknown(connection, worker_id=worker_id)
                if lost:
                    log.warning("deliveries.recovered", count=lost)
                await recovery_repository.cancel_of_deleted(connection, worker_id=worker_id)
                due = await recovery_repository.find_due(connection, worker_id=worker_id)
        self._pump.wake(due.webhooks)

    def _busy_lanes(self) -> set[int]:
        """Return the lanes with a request in flight or an outcome not written: they cannot be given up yet."""
        return {lane_of(webhook_id) for webhook_id in (*self._pump.busy_webhooks(), *self._recorder.busy_webhooks())}

    def _after_acceptance(self, webhooks: Sequence[UUID]) -> None:
        """Wake our own pump, and tell the other workers about webhooks in their lanes."""
        self._pump.wake(webhooks)
        self._resources.wake_ups.publish_soon([item for item in webhooks if not self._leases.serves(item)])

    def _after_records(self, records: Sequence[Record]) -> None:
        """Time the retries of the near future to the moment; the others are found by the look of each second."""
        for record in records:
            if record.status == "pending":
                seconds = seconds_until(record.next_attempt_at)
                if seconds < _NEAR_SECONDS:
                    self._pump.wake_in(record.claimed.webhook_id, seconds)
