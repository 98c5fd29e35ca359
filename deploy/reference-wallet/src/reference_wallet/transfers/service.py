"""The steps of a transfer: lock, decide by the rules, write, in one transaction each."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from reference_wallet.transfers import repository
from reference_wallet.transfers.errors import HoldsUnsupported, TransferContentDiffers, TransferUnknown
from reference_wallet.transfers.rules import Change, Holds, Order, Transfer, WalletRules
from shared.database import Database

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfers:
    """Every call is idempotent by the transfer's id, for ever, also across processes and concurrent calls."""

    database: Database
    rules: WalletRules
    clock: Clock

    async def put(self, *, system_id: UUID, holds: Holds, transfer_id: str, order: Order) -> Transfer:
        """Take an order, or answer the present state of an id that is known.

        Raises TransferContentDiffers for a known id with other content, HoldsUnsupported.
        """
        if order.mode == "hold" and not holds.allowed:
            raise HoldsUnsupported
        async with self.database.connection() as connection:
            if not await repository.claim(connection, system_id=system_id, transfer_id=transfer_id, order=order):
                return await self._known(connection, system_id=system_id, transfer_id=transfer_id, order=order)
            wallet = await repository.lock_wallet(connection, system_id=system_id, wallet_id=order.wallet_id)
            # The time is taken here: whoever waited for a lock must not be judged by when it came.
            change = self.rules.first_seen(order, wallet, holds, self.clock())
            return await repository.apply(
                connection, change, system_id=system_id, transfer_id=transfer_id, order=order, wallet=wallet
            )

    async def commit(self, *, system_id: UUID, transfer_id: str) -> Transfer:
        """Commit what is held; whatever else the state is stays and is the answer. An id never seen is cancelled for ever."""
        return await self._end(self.rules.committed, system_id=system_id, transfer_id=transfer_id)

    async def cancel(self, *, system_id: UUID, transfer_id: str) -> Transfer:
        """Cancel what is held; whatever else the state is stays and is the answer. An id never seen is cancelled for ever."""
        return await self._end(
            lambda transfer, _wallet, now: self.rules.cancelled(transfer, now),
            system_id=system_id,
            transfer_id=transfer_id,
        )

    async def get(self, *, system_id: UUID, transfer_id: str) -> Transfer:
        """Return the present state; raises TransferUnknown."""
        async with self.database.connection() as connection:
            found = await repository.find(connection, system_id=system_id, transfer_id=transfer_id, lock=False)
        if found is None:
            raise TransferUnknown
        if self.rules.expired(found, self.clock()) is None:
            return found
        async with self.database.connection() as connection:
            return await self._lapse(connection, system_id=system_id, transfer_id=transfer_id)

    async def feed(self, *, system_id: UUID, holds: Holds, after_seq: int, limit: int) -> repository.FeedPage:
        """Return the feed behind ``after_seq``, with the ends of holds whose time is up."""
        if holds.seconds is not None:
            await self.expire_due(system_id=system_id)
        async with self.database.connection() as connection:
            return await repository.feed_page(connection, system_id=system_id, after_seq=after_seq, limit=limit)

    async def expire_due(self, *, system_id: UUID | None = None) -> int:
        """End every hold whose time is up, of one system or of all, each in its own transaction; returns how many."""
        now = self.clock()
        ended = 0
        while True:
            async with self.database.connection() as connection:
                due = await repository.lock_due(connection, system_id=system_id, now=now)
                change = self.rules.expired(due.transfer, now) if due is not None else None
                if due is None or change is None:
                    return ended
                await self._write(connection, change, due.transfer, system_id=due.system_id)
                ended += 1

    async def _known(self, connection: AsyncConnection, *, system_id: UUID, transfer_id: str, order: Order) -> Transfer:
        known = await self._lapse(connection, system_id=system_id, transfer_id=transfer_id)
        # A tombstone has no content that could differ: whatever comes late is cancelled.
        if known.order is not None and not self.rules.same_content(known.order, order):
            raise TransferContentDiffers
        return known

    async def _lapse(self, connection: AsyncConnection, *, system_id: UUID, transfer_id: str) -> Transfer:
        """Return a known transfer, after its hold ended if its time is up."""
        transfer = await repository.find(connection, system_id=system_id, transfer_id=transfer_id, lock=True)
        assert transfer is not None, "transfers are never deleted"
        change = self.rules.expired(transfer, self.clock())
        return transfer if change is None else await self._write(connection, change, transfer, system_id=system_id)

    async def _end(
        self,
        decide: Callable[..., Change | None],
        *,
        system_id: UUID,
        transfer_id: str,
    ) -> Transfer:
        async with self.database.connection() as connection:
            transfer = await repository.find(connection, system_id=system_id, transfer_id=transfer_id, lock=True)
            if transfer is None:
                if await repository.claim(connection, system_id=system_id, transfer_id=transfer_id, order=None):
                    return await repository.apply(
                        connection,
                        self.rules.never_seen(),
                        system_id=system_id,
                        transfer_id=transfer_id,
                        order=None,
                        wallet=None,
                    )
                # The order came between the two statements.
                transfer = await repository.find(connection, system_id=system_id, transfer_id=transfer_id, lock=True)
                assert transfer is not None
            wallet = None
            if transfer.state == "held" and transfer.order is not None:
                wallet = await repository.lock_wallet(
                    connection, system_id=system_id, wallet_id=transfer.order.wallet_id
                )
            change = decide(transfer, wallet, self.clock())
            if change is None:
                return transfer
            return await repository.apply(
                connection,
                change,
                system_id=system_id,
                transfer_id=transfer_id,
                order=transfer.order,
                wallet=wallet,
            )

    async def _write(
        self, connection: AsyncConnection, change: Change, transfer: Transfer, *, system_id: UUID
    ) -> Transfer:
        assert transfer.order is not None
        wallet = await repository.lock_wallet(connection, system_id=system_id, wallet_id=transfer.order.wallet_id)
        return await repository.apply(
            connection,
            change,
            system_id=system_id,
            transfer_id=transfer.transfer_id,
            order=transfer.order,
            wallet=wallet,
        )
