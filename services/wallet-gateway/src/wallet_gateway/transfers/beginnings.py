"""Begins transfers by the short way: those that are asked for at the same moment in one statement, on what was seen before.

What was seen of a wallet is believed only as long as its row is what it was, which the statement itself looks at. Whatever else
there is to say (a wallet has changed, the key was used before, the database refuses) is said by the longer way.
"""

import asyncio
from collections import OrderedDict
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.access import Realm
from shared.database import Database
from wallet_gateway.external_wallets.repository import WalletRef
from wallet_gateway.transfers import begin_repository
from wallet_gateway.transfers.begin_repository import Beginning, SeenWallet

log = structlog.get_logger()

_SEEN_MAX: Final = 5_000
_BATCH_MAX: Final = 200
_GATHER_SECONDS: Final = 0.005
"""So long a batch collects after another one during which others came; one that comes alone never waits."""


class Beginnings:
    """One per API process."""

    def __init__(self, database: Database) -> None:
        """``database`` is for these statements alone: they are planned once, and wait for nobody else's connection."""
        self._database = database
        self._seen: OrderedDict[tuple[Realm, WalletRef], SeenWallet] = OrderedDict()
        self._waiting: list[tuple[Beginning, asyncio.Future[datetime | None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def look_at(self, realm: Realm, wallet: WalletRef) -> SeenWallet | None:
        """Return a wallet as it is or was; None where there is none, or the database does not say."""
        seen = self._seen.get((realm, wallet))
        if seen is not None:
            self._seen.move_to_end((realm, wallet))
            return seen
        try:
            async with self._database.autocommit() as connection:
                seen = await begin_repository.look_at(connection, realm=realm, wallet=wallet)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            log.info("transfers.wallet_not_seen", reason=type(exc).__name__)
            return None
        if seen is not None:
            self._seen[realm, wallet] = seen
            if len(self._seen) > _SEEN_MAX:
                self._seen.popitem(last=False)
        return seen

    async def begin(self, beginning: Beginning) -> datetime | None:
        """Begin a transfer; returns when, or None where it did not: what was seen of its wallets is looked at anew then."""
        done: asyncio.Future[datetime | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((beginning, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(), name="beginnings of transfers")
        return await done

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH_MAX], self._waiting[_BATCH_MAX:]
            begun = await self._write([beginning for beginning, _ in batch])
            for beginning, done in batch:
                at = begun.get(beginning.new.id)
                if at is None:
                    self.forget(beginning.new.realm, beginning.source, beginning.target)
                if not done.done():
                    done.set_result(at)
            if self._waiting:
                await asyncio.sleep(_GATHER_SECONDS)
        self._writing = None

    async def _write(self, beginnings: list[Beginning]) -> dict[UUID, datetime]:
        try:
            async with self._database.autocommit() as connection:
                return await begin_repository.begin_many(connection, beginnings)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            # Whether it was committed or not, the longer way finds out under the same keys.
            log.info("transfers.not_begun_shortly", reason=type(exc).__name__, transfers=len(beginnings))
            return {}

    def forget(self, realm: Realm, *seen: SeenWallet) -> None:
        """Look at these wallets anew when they are asked for next."""
        for item in seen:
            self._seen.pop((realm, item.wallet.id), None)
            self._seen.pop((realm, "home"), None)
