"""Begins transfers by the short way: those that are asked for at the same moment in one statement, on what was seen before.

What was seen of a wallet is believed only as long as its row is what it was, which the statement itself looks at. Whatever else
there is to say (a wallet has changed, the key was used before, the database refuses) is said by the longer way.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.access import Realm
from shared.database import Database
from shared.grouping import Groups
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
        self._groups: Groups[Beginning, datetime | None] = Groups(
            self._begin_all, at_once=1, items_max=_BATCH_MAX, gather_seconds=_GATHER_SECONDS
        )

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
        at = await self._groups.join([beginning])
        if at is None:
            self.forget(beginning.new.realm, beginning.source, beginning.target)
        return at

    async def _begin_all(self, group: Sequence[Sequence[Beginning]]) -> Sequence[datetime | None]:
        beginnings = [beginning for (beginning,) in group]
        try:
            async with self._database.autocommit() as connection:
                begun = await begin_repository.begin_many(connection, beginnings)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            # Whether it was committed or not, the longer way finds out under the same keys.
            log.info("transfers.not_begun_shortly", reason=type(exc).__name__, transfers=len(beginnings))
            return [None] * len(beginnings)
        return [begun.get(beginning.new.id) for beginning in beginnings]

    def forget(self, realm: Realm, *seen: SeenWallet) -> None:
        """Look at these wallets anew when they are asked for next."""
        for item in seen:
            self._seen.pop((realm, item.wallet.id), None)
            self._seen.pop((realm, "home"), None)
