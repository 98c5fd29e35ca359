"""The wallets that a worker's transfers are about, with their keys as stored; looked at again each second."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from uuid import UUID

from shared.access import Realm
from shared.database import Database
from wallet_gateway.external_wallets import repository
from wallet_gateway.external_wallets.repository import StoredWallet

FRESH_SECONDS: Final = 1.0
"""So long a rotated key, a new address or a freeze may go unnoticed."""
_KEPT_MAX: Final = 2_000


class WalletBook:
    """One per worker."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._kept: OrderedDict[UUID, tuple[float, asyncio.Task[StoredWallet]]] = OrderedDict()

    async def get(self, realm: Realm, wallet_id: UUID) -> StoredWallet:
        """Return a wallet, also a deleted one; raises NotFound, and what the database raises."""
        now = self._clock()
        kept = self._kept.get(wallet_id)
        if kept is None or now - kept[0] > FRESH_SECONDS or (kept[1].done() and kept[1].exception() is not None):
            kept = (now, asyncio.create_task(self._load(realm, wallet_id)))
            self._kept[wallet_id] = kept
            self._kept.move_to_end(wallet_id)
            while len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)
        return kept[1].result() if kept[1].done() else await asyncio.shield(kept[1])

    def forget(self, wallet_id: UUID) -> None:
        """Look a wallet up again at the next question."""
        self._kept.pop(wallet_id, None)

    async def _load(self, realm: Realm, wallet_id: UUID) -> StoredWallet:
        async with self._database.transaction() as session:
            return await repository.load_endpoint(session, realm=realm, wallet=wallet_id, with_deleted=True)
