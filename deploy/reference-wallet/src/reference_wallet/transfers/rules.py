"""What a wallet decides: pure functions from what it knows to a change of a transfer's state and of a balance.

They are methods of one class so that a test can break a single rule and see that the conformance kit notices. A transfer's
states: nothing → ``held`` → ``committed`` | ``cancelled``; nothing → ``committed`` (direct) | ``rejected`` | ``cancelled``
(a tombstone). The last three are for ever.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

State = Literal["held", "committed", "cancelled", "rejected"]
Code = Literal[
    "insufficient_funds",
    "wallet_not_found",
    "wallet_frozen",
    "currency_mismatch",
    "precision_exceeded",
    "limit_exceeded",
    "cancelled",
    "expired",
]

LEDGER_MAX = Decimal("999999999999999999.99999999")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a transfer is to do. Two orders are the same content when all fields are equal; 10 and 10.00 are equal."""

    op: Literal["credit", "debit"]
    mode: Literal["hold", "direct"]
    wallet_id: str
    owner_ref: str
    amount: Decimal
    currency: str
    not_after: datetime
    reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """A wallet as it is, locked until the change is committed."""

    wallet_id: str
    owner_ref: str
    currency: str
    scale: int
    ledger: Decimal
    held: Decimal
    frozen: bool
    transfer_max: Decimal | None

    @property
    def available(self) -> Decimal:
        return self.ledger - self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """Whether a wallet system can hold money, and for how long; None: until it is committed or cancelled."""

    allowed: bool
    seconds: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A transfer as it is, locked. ``order`` is None for a tombstone, ``seq`` that of its newest change."""

    transfer_id: str
    order: Order | None
    state: State
    error_code: Code | None = None
    error_detail: str | None = None
    wallet_txn_id: str | None = None
    balance_after: str | None = None
    hold_expires_at: datetime | None = None
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of state, and what it does to the wallet: ``ledger`` is what it owns, ``held`` the part that is set aside."""

    state: State
    ledger_delta: Decimal = _ZERO
    held_delta: Decimal = _ZERO
    error_code: Code | None = None
    error_detail: str | None = None
    wallet_txn_id: str | None = None
    hold_expires_at: datetime | None = None


class WalletRules:
    """Every decision of the protocol."""

    def first_seen(self, order: Order, wallet: Wallet | None, holds: Holds, now: datetime) -> Change:
        """Decide about an id that was never seen: hold, move at once, or reject with a definitive code."""
        refusal = self.refusal(order, wallet, now)
        if refusal is not None:
            return refusal
        if order.mode == "direct":
            return self.moved(order)
        expires_at = now + timedelta(seconds=holds.seconds) if holds.seconds else None
        # A held credit sets nothing aside: the money is not here yet.
        held = order.amount if order.op == "debit" else _ZERO
        return Change(state="held", held_delta=held, wallet_txn_id=new_wallet_txn_id(), hold_expires_at=expires_at)

    def refusal(self, order: Order, wallet: Wallet | None, now: datetime) -> Change | None:
        """Return the definitive rejection of a new order, None where there is none."""
        if now > order.not_after:
            return rejected("expired", "first seen after its not_after")
        if wallet is None or wallet.owner_ref != order.owner_ref:
            return rejected("wallet_not_found", "this owner has no such wallet")
        if wallet.currency != order.currency:
            return rejected("currency_mismatch", f"the wallet is in {wallet.currency}")
        if decimals_of(order.amount) > wallet.scale:
            return rejected("precision_exceeded", f"{order.currency} has {wallet.scale} decimals")
        return self.shortage(order, wallet)

    def shortage(self, order: Order, wallet: Wallet) -> Change | None:
        """Return why this wallet does not move this much, None where it does."""
        if wallet.frozen:
            return rejected("wallet_frozen", "the wallet is frozen")
        if wallet.transfer_max is not None and order.amount > wallet.transfer_max:
            return rejected("limit_exceeded", "over the wallet's limit for one transfer")
        if order.op == "debit" and order.amount > wallet.available:
            return rejected("insufficient_funds", "less is available")
        if order.op == "credit" and wallet.ledger + order.amount > LEDGER_MAX:
            return rejected("limit_exceeded", "no wallet holds as much")
        return None

    def committed(self, transfer: Transfer, wallet: Wallet | None, now: datetime) -> Change | None:
        """Decide about a commit of a known transfer; None: its state stays and is the answer."""
        expiry = self.expired(transfer, now)
        if transfer.state != "held" or expiry is not None:
            return expiry
        assert transfer.order is not None
        assert wallet is not None
        return self.moved(transfer.order, transfer)

    def moved(self, order: Order, transfer: Transfer | None = None) -> Change:
        """Move the money, out of the hold where there is one."""
        is_debit = order.op == "debit"
        return Change(
            state="committed",
            ledger_delta=-order.amount if is_debit else order.amount,
            held_delta=-order.amount if is_debit and transfer is not None else _ZERO,
            wallet_txn_id=transfer.wallet_txn_id if transfer is not None else new_wallet_txn_id(),
            hold_expires_at=transfer.hold_expires_at if transfer is not None else None,
        )

    def cancelled(self, transfer: Transfer, now: datetime) -> Change | None:
        """Decide about a cancel of a known transfer; None: its state stays and is the answer."""
        expiry = self.expired(transfer, now)
        if transfer.state != "held" or expiry is not None:
            return expiry
        return self.released(transfer, code="cancelled", detail="cancelled on request")

    def never_seen(self) -> Change:
        """Decide about a commit or cancel of an id that was never seen: it is cancelled for ever, whatever comes later."""
        return Change(state="cancelled", error_code="cancelled", error_detail="cancelled before it was seen")

    def expired(self, transfer: Transfer, now: datetime) -> Change | None:
        """Return the end of a hold whose time is up."""
        if transfer.state != "held" or transfer.hold_expires_at is None or now < transfer.hold_expires_at:
            return None
        return self.released(transfer, code="expired", detail="the hold ended before it was committed")

    def released(self, transfer: Transfer, *, code: Code, detail: str) -> Change:
        """Give back what was held."""
        assert transfer.order is not None
        return Change(
            state="cancelled",
            held_delta=-transfer.order.amount if transfer.order.op == "debit" else _ZERO,
            error_code=code,
            error_detail=detail,
            wallet_txn_id=transfer.wallet_txn_id,
            hold_expires_at=transfer.hold_expires_at,
        )

    def same_content(self, known: Order, sent: Order) -> bool:
        """Tell whether an id that is known came with the content it is known with."""
        return known == sent


def rejected(code: Code, detail: str) -> Change:
    """Return a definitive rejection: nothing moves, now or later."""
    return Change(state="rejected", error_code=code, error_detail=detail)


def decimals_of(amount: Decimal) -> int:
    """Return how many decimals an amount was written with."""
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def new_wallet_txn_id() -> str:
    """Return the wallet's own name for a movement."""
    return f"wtx_{secrets.token_hex(12)}"
