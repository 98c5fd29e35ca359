"""Claims due deliveries fairly over the webhooks that have work, and starts a send task for each.

One per worker. Per-webhook limits are plain state here, since a webhook has one owner. A webhook that has reached its limit
is set aside until one of its own requests ends, and none takes more slots or bytes than it leaves (``room``), so that a hanging
destination holds its own share and nothing of the others'.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared import typeids
from shared.database import Database
from shared.sealing import SealingError, SealingKeyring
from webhook_dispatcher.deliveries.sender import Sender
from webhook_dispatcher.deliveries.target import StoredTarget, Target, open_target
from webhook_dispatcher.lanes import recovery_repository, repository
from webhook_dispatcher.lanes.attempt import own_fault, run_attempt
from webhook_dispatcher.lanes.destinations import Destinations
from webhook_dispatcher.lanes.leases import Leases
from webhook_dispatcher.lanes.recorder import Recorder
from webhook_dispatcher.lanes.repository import Claimed, Limit
from webhook_dispatcher.lanes.room import Room

log = structlog.get_logger()

CLAIM_MAX = 128
PAYLOAD_BYTES_MAX = 64 * 1024 * 1024
"""Payloads in flight at once; what one claim brings beyond that goes back unsent."""
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
        slots: int,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._sender = sender
        self._recorder = recorder
        self._leases = leases
        self._slots = slots
        self._destinations = Destinations()
        self._hinted: dict[UUID, None] = {}
        self._set_aside: set[UUID] = set()
        self._in_flight: dict[UUID, asyncio.Task[None]] = {}
        self._work = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._closed = False
        self._finished = False
        self._may_hold_strays = False

    def wake(self, webhooks: Iterable[UUID]) -> None:
        """Look at these webhooks soon, where their lanes are ours."""
        for webhook_id in webhooks:
            if self._leases.serves(webhook_id):
                self._hinted[webhook_id] = None
        if self._hinted:
            self._work.set()

    def wake_in(self, webhook_id: UUID, seconds: float) -> None:
        """Look at a webhook after a while; for retries and paced webhooks, within the look of each second."""
        asyncio.get_running_loop().call_later(seconds, self.wake, (webhook_id,))

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
            limits = self._choose()
            if not limits:
                return False
            started = time.perf_counter()
            async with self._database.autocommit() as connection:
                claimed = await repository.claim(connection, worker_id=self._leases.worker_id, limits=limits)
            if self._finished:
                # Too late to send; who owns the lane next takes them back.
                return False
            fitting = self._keep_what_fits(claimed, limits)
            if fitting:
                await self._start(fitting)
                log.debug("deliveries.claimed", count=len(fitting), ms=round((time.perf_counter() - started) * 1000, 2))
            return bool(self._hinted) or self._may_hold_strays

    def _choose(self) -> dict[UUID, Limit]:
        """Share what is free over the webhooks with work: how many each may claim now."""
        room = self._room()
        free_slots = min(room.slots, CLAIM_MAX)
        limits: dict[UUID, Limit] = {}
        too_many: list[UUID] = []
        if free_slots <= 0:
            return limits
        share = max(1, free_slots // max(1, len(self._hinted)))
        for webhook_id in list(self._hinted):
            if free_slots <= 0:
                break
            del self._hinted[webhook_id]
            if not self._leases.serves(webhook_id):
                continue
            free = self._destinations.free(webhook_id)
            if free == 0:
                self._set_aside_until_free(webhook_id)
                continue
            destination = self._destinations.get(webhook_id)
            fair = room.fits(destination.held, size_bytes=destination.size_bytes)
            if fair == 0:
                too_many.append(webhook_id)
                continue
            count = min(free, share, free_slots, fair)
            limits[webhook_id] = Limit(count=count, retries=count, revision=destination.revision)
            free_slots -= count
            room.take(slots=count, payload_bytes=count * destination.size_bytes)
        self._hinted.update(dict.fromkeys(too_many))
        return limits

    def _room(self) -> Room:
        held = self._destinations.held
        return Room(slots=self._slots - held.slots, payload_bytes=PAYLOAD_BYTES_MAX - held.payload_bytes)

    def _keep_what_fits(self, claimed: Sequence[Claimed], limits: dict[UUID, Limit]) -> list[Claimed]:
        """Note what a claim brought, and return what may be sent; larger payloads than foreseen go back, the newest first."""
        batches: defaultdict[UUID, list[Claimed]] = defaultdict(list)
        for item in sorted(claimed, key=lambda item: item.id):
            batches[item.webhook_id].append(item)
        kept: list[Claimed] = []
        for webhook_id, limit in limits.items():
            batch = batches[webhook_id]
            if batch and (len(batch) == limit.count or batch[0].webhook_revision != limit.revision):
                self._hinted[webhook_id] = None
            else:
                self._destinations.ran_dry(webhook_id)
            if batch:
                sizes = [len(item.payload) for item in batch]
                self._destinations.claimed(webhook_id, sizes)
                fitting = self._room().count_fitting(self._destinations.get(webhook_id).held, sizes_bytes=sizes)
                self._destinations.started(webhook_id, sizes[:fitting])
                kept += batch[:fitting]
        # What is in flight in the database and unknown here goes back before the next claim.
        self._may_hold_strays = self._may_hold_strays or len(kept) < len(claimed)
        return kept

    def _set_aside_until_free(self, webhook_id: UUID) -> None:
        pace_seconds = self._destinations.pace_seconds(webhook_id)
        if pace_seconds is not None:
            self.wake_in(webhook_id, pace_seconds)
        else:
            self._set_aside.add(webhook_id)

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
                self._in_flight[item.id] = asyncio.create_task(self._deliver(item, target))

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

    async def _deliver(self, claimed: Claimed, target: Target) -> None:
        try:
            self._recorder.put(await run_attempt(self._sender, claimed, target))
        finally:
            del self._in_flight[claimed.id]
            self._freed(claimed)

    def _freed(self, claimed: Claimed) -> None:
        webhook_id = claimed.webhook_id
        self._destinations.ended(webhook_id, len(claimed.payload))
        if webhook_id in self._set_aside:
            self._set_aside.discard(webhook_id)
            self._hinted[webhook_id] = None
        if self._hinted:
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
