"""The engine of a worker: finds transfers that are due, claims them, and has each carried out. Entry: ``Engine.run``.

The way of a transfer: ``service`` (accepted) → ``wake_up`` or the look of each second → ``engine_repository.claim`` → ``runner``
(move, ``recorder``, ``caller``, and again) → ended, or due again later. Its events leave through ``outbox``.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError

from shared import typeids
from shared.database import Database
from wallet_gateway.external_wallets.access import WalletAccess
from wallet_gateway.external_wallets.discovery import Discovery
from wallet_gateway.outbox.publisher import OutboxPublisher
from wallet_gateway.settings import Settings
from wallet_gateway.transfers import engine_repository, wake_up
from wallet_gateway.transfers.caller import StepCaller
from wallet_gateway.transfers.crowd import Crowd
from wallet_gateway.transfers.lease import RENEW_SECONDS, Lease
from wallet_gateway.transfers.recorder import Recorder
from wallet_gateway.transfers.resolution import Policy
from wallet_gateway.transfers.runner import Hindrance, Runner
from wallet_gateway.transfers.shaping import Shaping
from wallet_gateway.transfers.transfer import Claimed
from wallet_gateway.transfers.wallet_book import WalletBook

log = structlog.get_logger()

FINISH_SECONDS: Final = 6.0
"""How long a stop waits for calls in flight; what is cut off is unknown, and resolved by whoever takes it next."""
OWN_FAULT_SECONDS: Final = 15.0
_NEAR: Final = timedelta(seconds=RENEW_SECONDS * 1.5)
_CLAIM_MAX: Final = 200
_TOGETHER_SECONDS: Final = 0.02
"""What has room again within this time is looked for together; what was told of while one claim ran is claimed together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParts:
    """What the engine works with; opened by ``resources.py``."""

    settings: Settings
    registry: CollectorRegistry
    worker_name: str
    database: Database
    engine_database: Database
    """For claims, records and the lease alone."""
    queue: Redis
    listen_queue: Redis
    wallets: WalletAccess
    discovery: Discovery
    outbox: OutboxPublisher


class Engine:
    """See the module. ``run`` until cancelled; ``stop`` first for an orderly end."""

    def __init__(self, parts: EngineParts, *, policy: Policy | None = None) -> None:
        settings = parts.settings
        self._parts = parts
        self._database = parts.engine_database
        self._slots = settings.transfer_slots
        self._lease = Lease(
            parts.engine_database, name=parts.worker_name, lease_seconds=settings.transfer_lease_seconds
        )
        self._recorder = Recorder(parts.engine_database)
        self._ended_hints = wake_up.Hints(parts.queue, wake_up.ENDED)
        self._crowd = Crowd(settings.wallet_writes_in_flight, self._look_again)
        self._tenants = Crowd(settings.tenant_transfer_slots, self._look_again)
        book = WalletBook(parts.database)
        policy = policy or Policy(review_after=timedelta(seconds=settings.transfer_review_after_seconds))
        self._runner = Runner(
            book=book,
            shaping=Shaping(book=book, discovery=parts.discovery, review_after=policy.review_after),
            caller=StepCaller(parts.wallets),
            recorder=self._recorder,
            policy=policy,
            hindrance=self._hindrance,
            ended=self._after_end,
            later=self._wake_later,
            crowd=self._crowd,
        )
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._woken: dict[UUID, None] = {}
        self._look = asyncio.Event()
        self._has_room = asyncio.Event()
        self._is_stopping = False
        self._claiming = asyncio.Lock()
        self._metrics = _Metrics(parts.registry)

    async def run(self) -> None:
        """Work until cancelled. A part that fails for a reason not foreseen ends the engine, and so the process."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            group.create_task(self._keep_lease())
            group.create_task(self._keep_looking())
            group.create_task(self._claim_woken())
            group.create_task(self._parts.outbox.run())
            group.create_task(wake_up.listen(self._parts.listen_queue, wake_up.BEGUN, tell=self._wake))

    async def stop(self) -> None:
        """Begin no more calls, hear those in flight out, write down what they found, give the rest up."""
        self._is_stopping = True
        if self._running:
            await asyncio.wait(self._running.values(), timeout=FINISH_SECONDS)
        for task in self._running.values():
            task.cancel()
        await self._ended_hints.settle()
        await self._lease.give_up()

    def running_tasks(self) -> list[asyncio.Task[None]]:
        """Return the tasks that carry transfers out now."""
        return list(self._running.values())

    async def _keep_lease(self) -> None:
        """Live on until the lease is given up: what a stop still hears out stays with this worker."""
        while True:
            try:
                await self._lease.renew()
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                log.warning("transfers.lease_not_renewed", reason=type(exc).__name__)
            await asyncio.sleep(RENEW_SECONDS)

    async def _keep_looking(self) -> None:
        """Look for what no hint told of, or for what there was no room: once a second, and while there is more than was taken."""
        while True:
            self._has_room.clear()
            taken = await self._claim(None) if self._lease.is_valid() else 0
            if not taken:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._has_room.wait(), RENEW_SECONDS)
                    await asyncio.sleep(_TOGETHER_SECONDS)

    async def _claim_woken(self) -> None:
        while True:
            await self._look.wait()
            self._look.clear()
            while self._woken and self._lease.is_valid() and self._room() > 0:
                ids = list(self._woken)[: min(_CLAIM_MAX, self._room())]
                for transfer_id in ids:
                    del self._woken[transfer_id]
                await self._claim(ids)
                if self._woken:
                    await asyncio.sleep(_TOGETHER_SECONDS)

    async def _claim(self, ids: Sequence[UUID] | None) -> int:
        """Claim and start; returns how many. What is not claimed now is found by a later look."""
        # One at a time: what another claim has just taken would look as if it lay about.
        async with self._claiming:
            return await self._claim_alone(ids)

    async def _claim_alone(self, ids: Sequence[UUID] | None) -> int:
        limit = min(_CLAIM_MAX, self._room())
        if limit <= 0 or self._is_stopping:
            return 0
        try:
            async with self._database.autocommit() as connection:
                claimed = await engine_repository.claim(
                    connection,
                    worker_id=self._lease.worker_id,
                    limit=limit,
                    ids=ids,
                    running=list(self._running),
                    room=engine_repository.Room(wallets=self._crowd.taken(), tenants=self._tenants.taken()),
                )
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            log.warning("transfers.claim_waits", reason=type(exc).__name__)
            return 0
        for item in claimed:
            task = asyncio.create_task(self._carry_out(item), name="transfer")
            # Under its fence: the same transfer may be claimed again before the task before it has quite ended.
            self._running[item.transfer.id] = task
            self._crowd.enter(item.transfer.id, item.fence, item.place)
            self._tenants.enter(item.transfer.id, item.fence, item.transfer.realm.tenant_id)
            task.add_done_callback(partial(self._has_run, item))
        self._metrics.running.set(len(self._running))
        return len(claimed)

    async def _carry_out(self, claimed: Claimed) -> None:
        try:
            await self._runner.run(claimed)
        except Exception:
            transfer_id = claimed.transfer.id
            log.exception("transfer.failed_by_us", transfer_id=typeids.encode("tr", transfer_id))
            self._metrics.own_faults.inc()
            await self._let_go(transfer_id, fence=claimed.fence)

    async def _let_go(self, transfer_id: UUID, *, fence: int) -> None:
        """Give a transfer back that we failed with; tried until it is written, for nobody else may take it before."""
        while True:
            try:
                async with self._database.autocommit() as connection:
                    await engine_repository.let_go(
                        connection, transfer_id=transfer_id, fence=fence, seconds=OWN_FAULT_SECONDS
                    )
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                log.warning("transfers.not_let_go", reason=type(exc).__name__)
                await asyncio.sleep(RENEW_SECONDS)
            else:
                return

    def _hindrance(self) -> Hindrance | None:
        if self._is_stopping:
            return "stopping"
        return None if self._lease.is_valid() else "lease_lost"

    def _has_run(self, claimed: Claimed, task: asyncio.Task[None]) -> None:
        for crowd in (self._crowd, self._tenants):
            crowd.leave(claimed.transfer.id, fence=claimed.fence)
        if self._running.get(claimed.transfer.id) is task:
            del self._running[claimed.transfer.id]
        self._metrics.running.set(len(self._running))
        if self._woken:
            self._look.set()

    def _look_again(self) -> None:
        self._has_room.set()

    def _room(self) -> int:
        return self._slots - len(self._running)

    def _wake(self, ids: Sequence[UUID]) -> None:
        """Take hints; beyond a bound they are dropped, since each look finds what is due."""
        if len(self._woken) < self._slots * 4:
            self._woken.update(dict.fromkeys(ids))
            self._look.set()

    def _wake_later(self, transfer_id: UUID, at: datetime) -> None:
        """Time what is due soon to the moment; the rest is found by a look."""
        wait = at - datetime.now(UTC)
        if wait < _NEAR and not self._is_stopping:
            asyncio.get_running_loop().call_later(max(0.0, wait.total_seconds()) + 0.002, self._wake, [transfer_id])

    def _after_end(self, transfer_id: UUID) -> None:
        self._metrics.ended.inc()
        self._ended_hints.send_soon(transfer_id)
        self._parts.outbox.look_soon()


class _Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.running = Gauge("causeway_transfers_running", "Transfers that this worker carries out", registry=registry)
        self.ended = Counter(
            "causeway_transfers_ended", "Transfers that came to an end, or to a person", registry=registry
        )
        self.own_faults = Counter(
            "causeway_transfers_own_faults", "Transfers put off after a fault of ours", registry=registry
        )
