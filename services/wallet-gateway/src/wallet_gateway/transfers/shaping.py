"""Decides the order of a transfer's steps, asking the source wallet what it can do where that is not known yet."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from shared.ewp.messages import WellKnown
from wallet_gateway.external_wallets.availability import retention_of
from wallet_gateway.external_wallets.discovery import Discovery
from wallet_gateway.external_wallets.errors import RetentionTooShort
from wallet_gateway.external_wallets.repository import StoredWallet, Wallet
from wallet_gateway.external_wallets.retention import forgets_too_early
from wallet_gateway.isolation.errors import NotAdmitted
from wallet_gateway.protocols.results import ReadFailed
from wallet_gateway.transfers.plan import End, Failure, Shape, Source, shape_of
from wallet_gateway.transfers.transfer import Transfer
from wallet_gateway.transfers.wallet_book import WalletBook

_AGAIN: Final = timedelta(seconds=1)
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Unshaped:
    """The source does not say what it can do: ask again ``at``, or ``end``, since nothing has begun."""

    at: datetime | None = None
    end: End | None = None


class Shaping:
    """One per worker."""

    def __init__(self, *, book: WalletBook, discovery: Discovery, review_after: timedelta) -> None:
        self._book = book
        self._review_after = review_after
        self._discovery = discovery
        self._asking: dict[UUID, asyncio.Task[WellKnown]] = {}

    async def shape_of(self, transfer: Transfer) -> Shape | Unshaped:
        """Return the order for a transfer that has none yet; asks the wallet at most once."""
        stored = await self._book.get(transfer.realm, transfer.source.wallet_id)
        known = known_shape(stored.wallet)
        if known is not None:
            return known
        try:
            capabilities = await self._ask(stored)
        except NotAdmitted as refusal:
            return self._unshaped(transfer, stored, code=refusal.code)
        except ReadFailed as failed:
            if failed.call.response_status == _NOT_FOUND:
                return Shape.DEBIT_CREDIT  # it has no such document, and so promises no holds
            return self._unshaped(transfer, stored, code=failed.code)
        retention = retention_of(replace(stored.wallet, capabilities=capabilities.model_dump(mode="json")))
        if forgets_too_early(retention, review_after=self._review_after):
            failure = Failure(code=RetentionTooShort.code, detail=RetentionTooShort.default_detail)
            return Unshaped(end=End(status="failed", failure=failure))
        return _shape(stored.wallet, capabilities)

    async def _ask(self, stored: StoredWallet) -> WellKnown:
        """Ask once, however many transfers wait for the answer."""
        asking = self._asking.get(stored.wallet.id)
        if asking is None:
            asking = asyncio.create_task(self._discovery.capabilities(stored), name="capabilities")
            self._asking[stored.wallet.id] = asking
            asking.add_done_callback(lambda _done: self._asking.pop(stored.wallet.id, None))
        return await asyncio.shield(asking)

    def _unshaped(self, transfer: Transfer, stored: StoredWallet, *, code: str) -> Unshaped:
        now = datetime.now(UTC)
        if now + _AGAIN < transfer.created_at + timedelta(seconds=stored.wallet.step_seconds):
            return Unshaped(at=now + _AGAIN)
        detail = f"The source wallet could not be asked in time, and nothing was sent: {code}."
        return Unshaped(end=End(status="failed", failure=Failure(code="wallet_unreachable", detail=detail)))


def known_shape(wallet: Wallet) -> Shape | None:
    """Return the order for a source of which enough is known; None where it has to be asked first."""
    if wallet.protocol != "ewp/1":
        return Shape.DEBIT_CREDIT
    return None if wallet.capabilities is None else _shape(wallet, WellKnown.model_validate(wallet.capabilities))


def _shape(wallet: Wallet, capabilities: WellKnown) -> Shape:
    source = Source(is_home=wallet.is_home, holds=capabilities.holds, holds_expire=capabilities.holds_expire)
    return shape_of(source)
