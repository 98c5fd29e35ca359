"""Decides the order of a transfer's steps, asking both wallets what they can do where that is not known yet, or old."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from shared import typeids
from shared.ewp.messages import WellKnown
from shared.problems import Problem
from wallet_gateway.external_wallets.availability import retention_of
from wallet_gateway.external_wallets.discovery import Discovery
from wallet_gateway.external_wallets.errors import RetentionTooShort
from wallet_gateway.external_wallets.repository import StoredWallet, Wallet
from wallet_gateway.external_wallets.retention import forgets_too_early
from wallet_gateway.external_wallets.same_system import stays_within
from wallet_gateway.isolation.errors import NotAdmitted
from wallet_gateway.protocols.results import ReadFailed
from wallet_gateway.transfers.errors import SameWallet
from wallet_gateway.transfers.plan import End, Failure, Shape, Source, shape_of
from wallet_gateway.transfers.transfer import Transfer
from wallet_gateway.transfers.wallet_book import WalletBook

_AGAIN: Final = timedelta(seconds=1)
APART_SECONDS: Final = 0.04
"""Those that waited together for a silent target go on so far apart, lest they stand before everybody else at their source: a
worker's whole share of a wallet in two and a half seconds, at an eighth of what a worker carries (decision 0035)."""
_NOT_FOUND: Final = 404
_FORGETS: Final = Failure(code=RetentionTooShort.code, detail=RetentionTooShort.default_detail)
_SAME: Final = Failure(code=SameWallet.code, detail="Both wallets are one system, registered twice; nothing was sent.")

log = structlog.get_logger()


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
        self._asking: dict[tuple[UUID, str], asyncio.Task[WellKnown]] = {}
        self._turns: dict[UUID, float] = {}
        """Of silent targets with which transfers still wait to go on: when the next one may."""

    async def shape_of(self, transfer: Transfer, *, waits_for: Callable[[UUID], None]) -> Shape | Unshaped:
        """Return the order for a transfer that has none yet; asks each wallet at most once.

        ``waits_for`` is told of each wallet before it is asked: while one does not answer, the transfer stands there.
        A fault that nobody foresaw is raised, for another try, within the time of a step; after it, it ends the transfer.
        """
        stored = await self._book.get(transfer.realm, transfer.source.wallet_id)
        try:
            return await self._shape_of(transfer, stored, waits_for=waits_for)
        except Exception:
            unshaped = self._unshaped(transfer, stored, code=Problem.code)
            if unshaped.end is None:
                raise
            log.exception("transfer.not_shaped_by_us", transfer_id=typeids.encode("tr", transfer.id))
            return unshaped

    async def _shape_of(
        self, transfer: Transfer, stored: StoredWallet, *, waits_for: Callable[[UUID], None]
    ) -> Shape | Unshaped:
        waits_for(transfer.source.wallet_id)
        try:
            source = await self._described(stored)
        except (NotAdmitted, ReadFailed) as refusal:
            return self._unshaped(transfer, stored, code=refusal.code)
        other = await self._book.get(transfer.realm, transfer.target.wallet_id)
        silent: str | None = None
        is_one_of_many = _asked_of(other) in self._asking
        waits_for(transfer.target.wallet_id)
        try:
            target = await self._described(other)
        except (NotAdmitted, ReadFailed) as refusal:
            # A target need not say anything: while it cannot be reached it is not credited either.
            target, silent = other.wallet, refusal.code
        accounts = {"source_account": transfer.source.account, "target_account": transfer.target.account}
        is_within = stays_within(source, target, **accounts)
        if is_within is None and silent is not None:
            return self._unshaped(transfer, stored, code=silent)
        # Whoever has answered by now will not say more, and what is not certain is no reason to refuse.
        if is_within:
            return Unshaped(end=End(status="failed", failure=_SAME))
        if any(forgets_too_early(retention_of(side), review_after=self._review_after) for side in (source, target)):
            return Unshaped(end=End(status="failed", failure=_FORGETS))
        if silent is not None and is_one_of_many:
            await self._turn(other.wallet.id)
        # One without a document promises no holds.
        return known_shape(source) or Shape.DEBIT_CREDIT

    def doubt(self, stored: StoredWallet) -> None:
        """Ask a wallet again what it can do, beside everything else: it has just refused what it said it could."""
        self._begin(stored, self._discovery.refresh)

    async def _described(self, stored: StoredWallet) -> Wallet:
        """Return a wallet with what it says of itself, asking it where that is not known or old; raises as Discovery does."""
        if stored.wallet.protocol != "ewp/1":
            return stored.wallet
        try:
            capabilities = await asyncio.shield(self._begin(stored, self._discovery.capabilities))
        except ReadFailed as failed:
            if failed.call.response_status == _NOT_FOUND:
                return stored.wallet
            raise
        return replace(stored.wallet, capabilities=capabilities.model_dump(mode="json"))

    async def _turn(self, silent: UUID) -> None:
        """Wait until the transfers before this one have gone on with a silent target: at most a tenant's share of a worker."""
        now = asyncio.get_running_loop().time()
        self._turns = {wallet_id: at for wallet_id, at in self._turns.items() if at > now}
        at = self._turns.get(silent, now)
        self._turns[silent] = at + APART_SECONDS
        await asyncio.sleep(at - now)

    def _begin(
        self, stored: StoredWallet, ask: Callable[[StoredWallet], Coroutine[Any, Any, WellKnown]]
    ) -> asyncio.Task[WellKnown]:
        """Ask once, however many transfers wait for the answer; a wallet that has moved is asked anew, where it is now."""
        asked_of = _asked_of(stored)
        asking = self._asking.get(asked_of)
        if asking is None:
            asking = self._asking[asked_of] = asyncio.create_task(ask(stored), name="capabilities")
            asking.add_done_callback(lambda done: self._asked(stored, done))
        return asking

    def _asked(self, stored: StoredWallet, done: asyncio.Task[WellKnown]) -> None:
        del self._asking[_asked_of(stored)]
        if not done.cancelled() and done.exception() is None and stored.wallet.capabilities is None:
            self._book.forget(stored.wallet.id)

    def _unshaped(self, transfer: Transfer, stored: StoredWallet, *, code: str) -> Unshaped:
        now = datetime.now(UTC)
        if now + _AGAIN < transfer.created_at + timedelta(seconds=stored.wallet.step_seconds):
            return Unshaped(at=now + _AGAIN)
        detail = f"The source wallet could not be asked in time, and nothing was sent: {code}."
        return Unshaped(end=End(status="failed", failure=Failure(code="wallet_unreachable", detail=detail)))


def _asked_of(stored: StoredWallet) -> tuple[UUID, str]:
    return stored.wallet.id, stored.wallet.base_url


def known_shape(wallet: Wallet) -> Shape | None:
    """Return the order for a source of which enough is known; None where it has to be asked first."""
    if wallet.protocol != "ewp/1":
        return Shape.DEBIT_CREDIT
    return None if wallet.capabilities is None else _shape(wallet, WellKnown.model_validate(wallet.capabilities))


def _shape(wallet: Wallet, capabilities: WellKnown) -> Shape:
    source = Source(is_home=wallet.is_home, holds=capabilities.holds, holds_expire=capabilities.holds_expire)
    return shape_of(source)
