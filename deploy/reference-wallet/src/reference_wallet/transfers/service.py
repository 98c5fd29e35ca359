"""The steps of a transfer, and the feed. Changes go through the ledger, many in one transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from reference_wallet.transfers import repository
from reference_wallet.transfers.batch import Action, Wanted
from reference_wallet.transfers.errors import HoldsUnsupported, TransferUnknown
from reference_wallet.transfers.ledger import Ledger
from reference_wallet.transfers.rules import Holds, Order, Transfer, WalletRules
from shared.database import Database

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfers:
    """Every call is idempotent by the transfer's id, for ever, also across processes and concurrent calls."""

    database: Database
    ledger: Ledger
    rules: WalletRules
    clock: Clock

    async def put(self, *, system_id: UUID, holds: Holds, transfer_id: str, order: Order) -> Transfer:
        """Take an order, or answer the present state of an id that is known.

        Raises TransferContentDiffers for a known id with other content, HoldsUnsupported.
        """
        if order.mode == "hold" and not holds.allowed:
            raise HoldsUnsupported
        wanted = Wanted(action="put", transfer_id=transfer_id, order=order, holds=holds)
        return _known(await self.ledger.carry_out(system_id, wanted))

    async def commit(self, *, system_id: UUID, transfer_id: str) -> Transfer:
        """Commit what is held; whatever else the state is stays and is the answer. An id never seen is cancelled for ever."""
        return await self._end("commit", system_id=system_id, transfer_id=transfer_id)

    async def cancel(self, *, system_id: UUID, transfer_id: str) -> Transfer:
        """Cancel what is held; whatever else the state is stays and is the answer. An id never seen is cancelled for ever."""
        return await self._end("cancel", system_id=system_id, transfer_id=transfer_id)

    async def get(self, *, system_id: UUID, transfer_id: str) -> Transfer:
        """Return the present state; raises TransferUnknown."""
        async with self.database.autocommit() as connection:
            found = await repository.find(connection, system_id=system_id, transfer_id=transfer_id)
        if found is None:
            raise TransferUnknown
        if self.rules.expired(found, self.clock()) is None:
            return found
        return await self._end("lapse", system_id=system_id, transfer_id=transfer_id)

    async def feed(self, *, system_id: UUID, holds: Holds, after_seq: int, limit: int) -> repository.FeedPage:
        """Return the feed behind ``after_seq``, with the ends of holds whose time is up."""
        if holds.seconds is not None:
            await self.expire_due(system_id=system_id)
        async with self.database.autocommit() as connection:
            return await repository.feed_page(connection, system_id=system_id, after_seq=after_seq, limit=limit)

    async def expire_due(self, *, system_id: UUID | None = None) -> int:
        """End every hold whose time is up, of one system or of all; returns how many."""
        ended = 0
        while True:
            async with self.database.autocommit() as connection:
                due = await repository.find_due(connection, system_id=system_id, now=self.clock())
            for item in due:
                await self._end("lapse", system_id=item.system_id, transfer_id=item.transfer_id)
            ended += len(due)
            if not due:
                return ended

    async def _end(self, action: Action, *, system_id: UUID, transfer_id: str) -> Transfer:
        return _known(await self.ledger.carry_out(system_id, Wanted(action=action, transfer_id=transfer_id)))


def _known(transfer: Transfer | None) -> Transfer:
    assert transfer is not None, "transfers are never deleted"
    return transfer
