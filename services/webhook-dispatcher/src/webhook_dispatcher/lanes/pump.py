"""Claims due deliveries fairly over the webhooks that have work, and starts a send task for each.

One per worker. Per-webhook limits are plain state here, since a webhook has one owner; what to claim is ``selection``'s choice.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared import typeids
from shared.database import Database
from shared.sealing import SealingError, SealingKeyring
from webhook_dispatcher.deliveries.sender import Sender
from webhook_dispatcher.deliveries.target import StoredTarget, Target, open_target
from webhook_dispatcher.lanes import recovery_repository, repository
from webhook_dispatcher.lanes.attempt import own_fault, run_attempt, trace_attempt
from webhook_dispatcher.lanes.destinations import Destinations
from webhook_dispatcher.lanes.health import HealthKeeper
from webhook_dispatcher.lanes.leases import Leases
from webhook_dispatcher.lanes.recorder import Recorder
from webhook_dispatcher.lanes.repository import Claimed
from webhook_dispatcher.lanes.selection import Selection
from webhook_dispatcher.tracing import Tracing

log = structlog.get_logger()

COALESCE_SECONDS = 0.002
_BUSY = 64
_RETRY_SECONDS = 0.25


class Pump:
    """See the module."""

    def __init__(
        self,
        *,
        database: Database,
        keyring: SealingKeyring,
        sender: Sender,
        recorder: Recorder,
        leases: Leases,
        selection: Selection,
        destinations: Destinations,
        health: HealthKeeper,
        tracing: Tracing,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._sender = sender
        self._recorder = recorder
        self._leases = leases
        self._selection = selection
        self._destinations = destinations
        self._health = health
        self._tracing = tracing
        self._in_flight: dict[UUID, asyncio.Task[None]] = {}
        self._work = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._closed = False
        self._finished = False
        self._may_hold_strays = False

    def wake(self, webhooks: Iterable[UUID]) -> None:
        """Look at these webhooks soon, where their lanes are ours."""
        self._selection.hint(webhooks)
        if self._selection.has_work():
            self._work.set()

    def wake_due(self, webhooks: Iterable[UUID], *, asked_at: float) -> None:
        """Look at webhooks that the database, asked at ``asked_at`` (monotonic), says may be sent to: also for a probe."""
        webhooks = list(webhooks)
        for webhook_id in webhooks:
            self._destinations.allow_probe(webhook_id, asked_at=asked_at)
        self.wake(webhooks)

    def wake_in(self, webhook_id: UUID, seconds: float) -> None:
        """Look at a webhook after a while; for retries and paced webhooks, within the look of each second."""
        asyncio.get_running_loop().call_later(seconds, self.wake, (webhook_id,))

    def look_for_strays(self) -> None:
        """Take back, before the next claim, what is claimed for us and unknown here.

        Asked now and then: a claim that was given up as lost may be committed long after the look that followed it.
        """
        self._may_hold_strays = True
        self._work.set()

    def close(self) -> None:
        """Claim nothing more."""
        self._closed = True

    def busy_webhooks(self) -> list[UUID]:
        """Return the webhooks that have a request in flight."""
        return self._destinations.busy()

    async def finish(self, *, deadline_seconds: float) -> None:
        """After ``close``: wait for the requests in flight; past the deadline their outcome is recorded as unknown.

        Nothing is started any more once this returns, not even by a claim that the database answers later.
        """
        deadline = time.monotonic() + deadline_seconds
        try:
            async with asyncio.timeout(deadline_seconds), self._claiming:
                pass
        except TimeoutError:
            log.warning("claims.not_answered")
        self._finished = True
        while self._in_flight and (seconds := deadline - time.monotonic()) > 0:
            await asyncio.wait(list(self._in_flight.values()), timeout=seconds)
        late = list(self._in_flight.values())
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def run(self) -> None:
        """Claim and start until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            if len(self._in_flight) > _BUSY:
                # Under load a short wait makes claims and records larger batches, which cost the same as small ones.
                await asyncio.sleep(COALESCE_SECONDS)
            try:
                while await self._claim_once():
                    pass
            except (SQLAlchemyError, OSError) as exc:
                # The statement may have been committed without our seeing its rows.
                self._may_hold_strays = True
                log.warning("claims.waiting", reason=type(exc).__name__)
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._work.set)

    async def _claim_once(self) -> bool:
        """Claim one batch; return whether another one may find work at once."""
        async with self._claiming:
            if self._closed or not self._leases.are_valid():
                return False
            if self._may_hold_strays:
                await self._release_strays()
            limits = self._selection.choose(self.wake_in)
            if not limits:
                return False
            started = time.perf_counter()
            async with self._database.autocommit() as connection:
                claimed = await repository.claim(connection, worker_id=self._leases.worker_id, limits=limits)
            if self._finished:
                # Too late to send; who owns the lane next takes them back.
                return False
            fitting = self._selection.keep(claimed, limits)
            # What is in flight in the database and unknown here goes back before the next claim.
            self._may_hold_strays = self._may_hold_strays or len(fitting) < len(claimed)
            if fitting:
                await self._start(fitting)
                log.debug("deliveries.claimed", count=len(fitting), ms=round((time.perf_counter() - started) * 1000, 2))
            return self._selection.has_work() or self._may_hold_strays

    async def _start(self, claimed: Sequence[Claimed]) -> None:
        """Start a send task for each claimed delivery, with the configuration the database held at the claim."""
        stale = {
            item.webhook_id: item.webhook_revision
            for item in claimed
            if not self._has_target(item.webhook_id, item.webhook_revision)
        }
        if stale:
            try:
                await self._load_targets(list(stale))
            except (SQLAlchemyError, OSError) as exc:
                log.warning("targets.not_loaded", webhooks=len(stale), reason=type(exc).__name__)
        for item in claimed:
            target = self._destinations.get(item.webhook_id).target
            if target is None or (item.webhook_id in stale and not target.is_current(target.revision)):
                self._recorder.put(own_fault(item, code="target_not_loaded"))
                self._freed(item)
            else:
                probe = self._destinations.get(item.webhook_id).breaker.is_open
                self._in_flight[item.id] = asyncio.create_task(self._deliver(item, target, probe=probe))

    def _has_target(self, webhook_id: UUID, revision: int) -> bool:
        target = self._destinations.get(webhook_id).target
        return target is not None and target.is_current(revision)

    async def _load_targets(self, webhooks: Sequence[UUID]) -> None:
        for webhook_id in webhooks:
            self._destinations.get(webhook_id).target = None
        async with self._database.autocommit() as connection:
            rows = await repository.load_webhooks(connection, webhooks)
        for row in rows:
            try:
                self._destinations.set_target(open_target(StoredTarget(**row._mapping), self._keyring))
            except (SealingError, ValueError) as exc:
                log.exception("target.not_opened", webhook_id=typeids.encode("wh", row.id), reason=type(exc).__name__)

    async def _deliver(self, claimed: Claimed, target: Target, *, probe: bool) -> None:
        try:
            if not self._leases.hold(claimed.webhook_id):
                # The process stood still (a paused container, a very busy machine): another may have sent it, and later ones.
                self._recorder.put(own_fault(claimed, code="lease_expired", delay=timedelta(0)))
                return
            record = await run_attempt(self._sender, claimed, target, probe=probe)
            let_go = self._health.judge(record, target, probe=probe)
            self._recorder.put(record)
            if self._tracing.is_on:
                trace_attempt(self._tracing, record, target)
            if let_go:
                self._selection.hint((claimed.webhook_id,))
        finally:
            del self._in_flight[claimed.id]
            self._freed(claimed)

    def _freed(self, claimed: Claimed) -> None:
        self._selection.ended(claimed)
        if self._selection.has_work():
            self._work.set()

    async def _release_strays(self) -> None:
        """Take back what a lost answer left claimed: in flight for us in the database, and unknown to us."""
        known = [*self._in_flight, *self._recorder.unrecorded()]
        async with self._database.autocommit() as connection:
            webhooks = await recovery_repository.release_strays(
                connection, worker_id=self._leases.worker_id, known=known
            )
        self._may_hold_strays = False
        if webhooks:
            log.warning("deliveries.strays_released", count=len(webhooks))
            self.wake(webhooks)
