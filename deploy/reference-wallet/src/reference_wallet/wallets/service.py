"""Reading balances: what is held is true at the moment of reading, also where a hold has just ended by itself."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from reference_wallet.clock import WalletClock
from reference_wallet.transfers.rules import Holds
from reference_wallet.transfers.service import Transfers
from reference_wallet.wallets import repository
from reference_wallet.wallets.errors import WalletNotFound
from reference_wallet.wallets.schemas import shown_balance
from shared.database import Database
from shared.ewp.messages import BalanceQuery
from shared.problems import ValidationFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances:
    """The wallets of one system at a time."""

    database: Database
    transfers: Transfers
    clock: WalletClock

    async def one(self, *, system_id: UUID, holds: Holds, wallet_id: str) -> dict[str, Any]:
        """Return a wallet; raises WalletNotFound."""
        if holds.seconds is not None:
            await self.transfers.expire_due(system_id=system_id)
        async with self.database.autocommit() as connection:
            found = await repository.find(connection, system_id=system_id, wallet_id=wallet_id)
        if found is None:
            raise WalletNotFound
        return shown_balance(found, as_of=self.clock())

    async def page(self, query: BalanceQuery, *, system_id: UUID, holds: Holds) -> dict[str, Any]:
        """Return a page of the owners' wallets in the order of their ids; raises ValidationFailed for a foreign cursor."""
        if holds.seconds is not None:
            await self.transfers.expire_due(system_id=system_id)
        async with self.database.autocommit() as connection:
            found = await repository.page(
                connection,
                system_id=system_id,
                owner_refs=query.owner_refs,
                currency=query.currency,
                after=_wallet_id_of(query.cursor),
                limit=query.limit + 1,
            )
        now = self.clock()
        shown = [shown_balance(balance, as_of=now) for balance in found[: query.limit]]
        cursor = _cursor_of(shown[-1]["wallet_id"]) if len(found) > query.limit else None
        return {"data": shown, "next_cursor": cursor}


def _cursor_of(wallet_id: str) -> str:
    return base64.urlsafe_b64encode(wallet_id.encode()).decode()


def _wallet_id_of(cursor: str | None) -> str:
    try:
        return base64.b64decode(cursor or "", altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise ValidationFailed(errors=[{"pointer": "/cursor", "detail": "is no next_cursor of this call"}]) from None
