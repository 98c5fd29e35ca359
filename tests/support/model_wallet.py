"""A wallet system as ``ewp/1`` wants it, in a few lines of memory: what tests compare with, and what the fake client calls."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from shared.ewp.messages import (
    BalancePage,
    CurrencyScale,
    FeedPage,
    RejectionCode,
    State,
    StepError,
    TransferAnswer,
    TransferOrder,
    WalletBalance,
    WellKnown,
)
from shared.ewp.money import scale_of


class ContentMismatch(Exception):  # noqa: N818 - a named fact
    """The id is known with other content: 409 ``idempotency_mismatch``."""


@dataclass(slots=True)
class Account:
    """One wallet of one owner."""

    owner_ref: str
    currency: str
    ledger: Decimal
    held: Decimal = Decimal(0)
    frozen: bool = False
    version: int = 0


@dataclass(slots=True)
class _Transfer:
    order: TransferOrder | None
    state: State
    error: RejectionCode | None
    hold_expires_at: datetime | None
    seq: int = 0


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class ModelWallet:
    """Accounts, transfers and the feed of one system. ``effects`` counts what reached a ledger, by transfer."""

    clock: Callable[[], datetime] = _utc_now
    hold_seconds: int | None = None
    accounts: dict[str, Account] = field(default_factory=dict)
    entries: list[TransferAnswer] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    _transfers: dict[str, _Transfer] = field(default_factory=dict)

    def open_account(
        self, wallet_id: str, amount: str = "0", *, owner_ref: str = "a1b2c3d4", currency: str = "USD"
    ) -> Account:
        """Make an account with money in it."""
        account = self.accounts[wallet_id] = Account(owner_ref, currency, Decimal(amount))
        return account

    def total(self, currency: str = "USD") -> Decimal:
        """Return all the money there is in one currency."""
        return sum((account.ledger for account in self.accounts.values() if account.currency == currency), Decimal(0))

    def well_known(self) -> WellKnown:
        """Say what it can do."""
        return WellKnown(
            versions=["ewp/1"],
            currencies=[CurrencyScale(code=code, scale=scale_of(code)) for code in ("USD", "JPY", "BHD")],
            holds=True,
            holds_expire=self.hold_seconds is not None,
            retention_days=3650,
            feed=True,
        )

    def balance(self, wallet_id: str) -> WalletBalance | None:
        """Return one wallet."""
        account = self.accounts.get(wallet_id)
        if account is None:
            return None
        return WalletBalance(
            wallet_id=wallet_id,
            owner_ref=account.owner_ref,
            currency=account.currency,
            scale=scale_of(account.currency),
            ledger=account.ledger,
            available=account.ledger - account.held,
            held=account.held,
            as_of=self.clock(),
            version=account.version,
        )

    def query(self, *, owner_refs: Sequence[str], currency: str | None, cursor: str | None, limit: int) -> BalancePage:
        """Return a page of wallets; the cursor is a number."""
        found = [
            wallet_id
            for wallet_id, account in self.accounts.items()
            if (not owner_refs or account.owner_ref in owner_refs) and currency in {None, account.currency}
        ]
        start = int(cursor or "0")
        page = [balance for wallet_id in found[start : start + limit] if (balance := self.balance(wallet_id))]
        return BalancePage(data=page, next_cursor=str(start + limit) if len(found) > start + limit else None)

    def put(self, order: TransferOrder) -> TransferAnswer:
        """Carry out an order, or say what became of it; raises ContentMismatch."""
        known = self._current(order.transfer_id)
        if known is not None:
            if known.order is not None and known.order != order:
                raise ContentMismatch
            return self._answer(order.transfer_id, known)
        code = self._refusal(order)
        expires = None
        if code is None and order.mode == "hold":
            if order.op == "debit":
                self.accounts[order.wallet_id].held += order.amount
            if self.hold_seconds is not None:
                expires = self.clock() + timedelta(seconds=self.hold_seconds)
        elif code is None:
            self._move(order)
        state: State = "rejected" if code else "held" if order.mode == "hold" else "committed"
        return self._record(order.transfer_id, _Transfer(order, state, code, expires))

    def commit(self, transfer_id: str) -> TransferAnswer:
        """Commit a hold; another state is the answer."""
        known = self._current(transfer_id)
        if known is None:
            return self.cancel(transfer_id)
        if known.state == "held":
            assert known.order is not None
            self._release(known.order)
            self._move(known.order)
            known.state = "committed"
            return self._record(transfer_id, known)
        return self._answer(transfer_id, known)

    def cancel(self, transfer_id: str) -> TransferAnswer:
        """Cancel a hold, or an id that was never seen."""
        known = self._current(transfer_id)
        if known is None:
            return self._record(transfer_id, _Transfer(None, "cancelled", "cancelled", None))
        return (
            self._cancel(transfer_id, known, "cancelled") if known.state == "held" else self._answer(transfer_id, known)
        )

    def get(self, transfer_id: str) -> TransferAnswer | None:
        """Return the state of a transfer."""
        known = self._current(transfer_id)
        return None if known is None else self._answer(transfer_id, known)

    def feed(self, *, after_seq: int, limit: int) -> FeedPage:
        """Return the changes after ``after_seq``."""
        return FeedPage(data=self.entries[after_seq : after_seq + limit], latest_seq=len(self.entries))

    def _current(self, transfer_id: str) -> _Transfer | None:
        known = self._transfers.get(transfer_id)
        if known and known.state == "held" and known.hold_expires_at and self.clock() >= known.hold_expires_at:
            self._cancel(transfer_id, known, "expired")
        return known

    def _cancel(self, transfer_id: str, known: _Transfer, code: RejectionCode) -> TransferAnswer:
        assert known.order is not None
        self._release(known.order)
        known.state, known.error = "cancelled", code
        return self._record(transfer_id, known)

    def _refusal(self, order: TransferOrder) -> RejectionCode | None:
        account = self.accounts.get(order.wallet_id)
        if self.clock() > order.not_after:
            return "expired"
        if account is None or account.owner_ref != order.owner_ref:
            return "wallet_not_found"
        if account.currency != order.currency:
            return "currency_mismatch"
        if account.frozen:
            return "wallet_frozen"
        return "insufficient_funds" if order.op == "debit" and order.amount > account.ledger - account.held else None

    def _release(self, order: TransferOrder) -> None:
        if order.op == "debit":
            self.accounts[order.wallet_id].held -= order.amount

    def _move(self, order: TransferOrder) -> None:
        account = self.accounts[order.wallet_id]
        account.ledger += order.amount if order.op == "credit" else -order.amount
        account.version += 1
        self.effects[order.transfer_id] += 1

    def _record(self, transfer_id: str, transfer: _Transfer) -> TransferAnswer:
        self._transfers[transfer_id] = transfer
        transfer.seq = len(self.entries) + 1
        answer = self._answer(transfer_id, transfer)
        self.entries.append(answer)
        return answer

    def _answer(self, transfer_id: str, transfer: _Transfer) -> TransferAnswer:
        order = transfer.order
        return TransferAnswer(
            transfer_id=transfer_id,
            state=transfer.state,
            op=order.op if order else None,
            amount=order.amount if order else None,
            currency=order.currency if order else None,
            wallet_txn_id=f"wtx_{transfer_id}" if order else None,
            hold_expires_at=transfer.hold_expires_at,
            error=StepError(code=transfer.error, detail="refused") if transfer.error else None,
            seq=transfer.seq,
        )
