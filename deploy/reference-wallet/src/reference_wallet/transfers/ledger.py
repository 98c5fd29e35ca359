"""Carries calls out: those about one system that come at the same moment in one transaction, whole or not at all.

While one transaction is under way the next batch collects; a call that comes alone is carried out at once. Across
processes the system's row is what batches wait for, and so ``seq`` rises by one in the order of commits.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from reference_wallet.transfers import repository
from reference_wallet.transfers.batch import Batch, Wanted
from reference_wallet.transfers.rules import Transfer, WalletRules
from shared.database import Database, refuses_data

BATCH_MAX: Final = 200
GATHER_SECONDS: Final = 0.008
"""So long a batch collects after another one during which calls came: then there are many, and each transaction counts."""

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Call:
    wanted: Wanted
    done: "asyncio.Future[Transfer | None]"


@dataclass(slots=True)
class _Lane:
    waiting: list[_Call] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class Ledger:
    """One per process, for all systems."""

    def __init__(self, *, database: Database, rules: WalletRules, clock: Clock) -> None:
        self._database = database
        self._rules = rules
        self._clock = clock
        self._lanes: dict[UUID, _Lane] = {}

    async def carry_out(self, system_id: UUID, wanted: Wanted) -> Transfer | None:
        """Return the transfer once its state is committed; raises TransferContentDiffers, and what the database raises.

        None: a lapse of what is not known.
        """
        call = _Call(wanted, asyncio.get_running_loop().create_future())
        lane = self._lanes.setdefault(system_id, _Lane())
        lane.waiting.append(call)
        if lane.task is None:
            lane.task = asyncio.create_task(self._work(system_id, lane), name="batches of a wallet system")
        return await call.done

    async def aclose(self) -> None:
        """Wait until what has begun is written."""
        await asyncio.gather(*(lane.task for lane in self._lanes.values() if lane.task is not None))

    async def _work(self, system_id: UUID, lane: _Lane) -> None:
        while lane.waiting:
            calls, lane.waiting = lane.waiting[:BATCH_MAX], lane.waiting[BATCH_MAX:]
            await self._carry_out(system_id, calls)
            if lane.waiting:
                await asyncio.sleep(GATHER_SECONDS)
        del self._lanes[system_id]

    async def _carry_out(self, system_id: UUID, calls: list[_Call]) -> None:
        try:
            await self._write(system_id, calls)
        except Exception as exc:  # noqa: BLE001 - each caller is told, and the next batch is not held up
            if len(calls) > 1 and refuses_data(exc):
                for call in calls:
                    await self._carry_out(system_id, [call])
                return
            for call in calls:
                if not call.done.done():
                    call.done.set_exception(exc)

    async def _write(self, system_id: UUID, calls: list[_Call]) -> None:
        answers: list[Transfer | Exception | None] = []
        wanted = [call.wanted for call in calls]
        async with self._database.connection() as connection:
            latest_seq = await repository.lock_system(connection, system_id=system_id)
            # A statement of its own: one that waited for the lock does not see what was written meanwhile.
            found = await repository.lock_wanted(connection, system_id=system_id, wanted=wanted)
            # The time is taken here: whoever waited for a lock must not be judged by when it came.
            batch = Batch(
                self._rules,
                transfers=found.transfers,
                wallets=found.wallets,
                latest_seq=latest_seq,
                now=self._clock(),
            )
            for item in wanted:
                try:
                    answers.append(batch.carry_out(item))
                except Exception as exc:  # noqa: BLE001 - of one call, and nobody else's
                    answers.append(exc)
            if batch.written:
                await repository.apply(connection, batch.written, system_id=system_id, latest_seq=batch.latest_seq)
        for call, answer in zip(calls, answers, strict=True):
            if call.done.done():
                continue
            if isinstance(answer, Exception):
                call.done.set_exception(answer)
            else:
                call.done.set_result(answer)
