"""Carries calls out: those about one system that come at the same moment in one transaction, whole or not at all.

While one transaction is under way the next batch collects; a call that comes alone is carried out at once. Across
processes the system's row is what batches wait for, and so ``seq`` rises by one in the order of commits.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from reference_wallet.transfers import repository
from reference_wallet.transfers.batch import Batch, Wanted
from reference_wallet.transfers.rules import Transfer, WalletRules
from shared.database import Database
from shared.grouping import Groups

BATCH_MAX: Final = 200
GATHER_SECONDS: Final = 0.008
"""So long a batch collects after another one during which calls came: then there are many, and each transaction counts."""

Clock = Callable[[], datetime]


class Ledger:
    """One per process, for all systems."""

    def __init__(self, *, database: Database, rules: WalletRules, clock: Clock) -> None:
        self._database = database
        self._rules = rules
        self._clock = clock
        self._groups: dict[UUID, Groups[Wanted, Transfer | None]] = {}
        """Of each system."""

    async def carry_out(self, system_id: UUID, wanted: Wanted) -> Transfer | None:
        """Return the transfer once its state is committed; raises TransferContentDiffers, and what the database raises.

        None: a lapse of what is not known.
        """
        groups = self._groups.get(system_id)
        if groups is None:
            groups = self._groups[system_id] = Groups(
                partial(self._write, system_id), at_once=1, items_max=BATCH_MAX, gather_seconds=GATHER_SECONDS
            )
        return await groups.join([wanted])

    async def aclose(self) -> None:
        """Wait until what has begun is written."""
        await asyncio.gather(*(groups.aclose() for groups in self._groups.values()))

    async def _write(self, system_id: UUID, group: Sequence[Sequence[Wanted]]) -> Sequence[Transfer | Exception | None]:
        answers: list[Transfer | Exception | None] = []
        wanted = [item for (item,) in group]
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
        return answers
