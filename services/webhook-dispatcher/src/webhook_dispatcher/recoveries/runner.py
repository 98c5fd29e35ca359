"""Runs recoveries in a worker: each second a step of those that are due, whoever asked for them and whoever began them.

Everything about a recovery stands in its row, and each step is one transaction. So any number of workers share the work, and one
that is killed leaves nothing behind but a lock that ends with its connection.
"""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm
from shared.database import Database
from webhook_dispatcher.audit import repository as audit
from webhook_dispatcher.recoveries import pace, repository, step_repository
from webhook_dispatcher.recoveries.repository import Recovery
from webhook_dispatcher.recoveries.step_repository import Step

log = structlog.get_logger()

LOOK_SECONDS = 1.0
SCAN_MAX = 5_000
"""Ended deliveries that a step looks at for those that match."""
_NOTHING = Step(resent=0, skipped=0, position=None)


class RecoveryRunner:
    """See the module. ``woken`` is told the webhooks that have new work."""

    def __init__(self, database: Database, *, rate_per_second: int, woken: Callable[[Sequence[UUID]], None]) -> None:
        self._database = database
        self._rate_per_second = rate_per_second
        self._woken = woken
        self._closed = False

    def close(self) -> None:
        """Begin no step any more."""
        self._closed = True

    async def run(self) -> None:
        """Look and step until cancelled."""
        while True:
            try:
                while not self._closed and await self.step():
                    pass
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                log.warning("recoveries.waiting", reason=type(exc).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def step(self) -> bool:
        """Take one step of the recovery that waits longest; False if none is due. Raises what the database raises."""
        async with self._database.transaction() as session:
            recovery = await step_repository.take_due(session)
            if recovery is None:
                return False
            step = await self._step_of(session, recovery)
        if step.resent:
            self._woken([recovery.webhook_id])
        return True

    async def _step_of(self, session: AsyncSession, recovery: Recovery) -> Step:
        due_max = pace.due_counted(rate_per_second=self._rate_per_second)
        load = await step_repository.find_load(session, webhook_id=recovery.webhook_id, due_max=due_max)
        match pace.verdict(state=load.state if load else None):
            case "end":
                await self._finish(session, recovery, completed=False)
                return _NOTHING
            case "wait":
                reason = "breaker_open" if load and load.state == "open" else "webhook_disabled"
                await step_repository.note_step(
                    session, recovery, step=_NOTHING, reason=reason, next_in=pace.WAITING_STEP
                )
                return _NOTHING
        assert load is not None
        batch = pace.batch_size(
            rate_per_second=self._rate_per_second, webhook_rate_per_second=load.rate_per_second, due=load.due
        )
        step = await step_repository.take_back(session, recovery, batch=batch, scan_max=SCAN_MAX)
        await step_repository.note_step(session, recovery, step=step, reason=None, next_in=pace.STEP)
        if step.position is None:
            await self._finish(session, recovery, completed=True)
        return step

    async def _finish(self, session: AsyncSession, recovery: Recovery, *, completed: bool) -> None:
        ended = await repository.finish(
            session,
            recovery,
            status="completed" if completed else "cancelled",
            reason=None if completed else "webhook_deleted",
        )
        await audit.record_own(
            session,
            Realm(tenant_id=recovery.tenant_id, environment=recovery.environment),
            action=f"recovery.{ended.status}",
            target=typeids.encode("rec", recovery.id),
            changes={"resent": ended.resent, "skipped": ended.skipped, "reason": ended.reason},
        )
        log.info(
            "recovery.ended", recovery_id=typeids.encode("rec", recovery.id), status=ended.status, resent=ended.resent
        )
