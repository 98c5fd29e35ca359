"""One order by our records and by the wallet's: what differs. Pure.

An order is what the wallet knows under one id: a debit (a hold and what ended it, or a direct debit), a credit, or a refund. Only
one whose transfer ended before the feed was read is compared: everything else is still on its way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from wallet_gateway.reconciliation.step_ids import order_id_of
from wallet_gateway.transfers.course import Decision
from wallet_gateway.transfers.plan import Leg, StepKind

Kind = Literal[
    "missing_at_wallet", "unknown_to_us", "amount_differs", "state_differs", "feed_regressed", "feed_unreadable"
]
Expected = Literal["committed", "held", "nothing"]

_AS_EXPECTED: Final[Mapping[Expected, frozenset[str]]] = {
    "committed": frozenset({"committed"}),
    "held": frozenset({"held"}),
    "nothing": frozenset({"cancelled", "rejected"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OurStep:
    """One step. ``applied`` is None where its outcome never became known: a person decided without it."""

    kind: StepKind
    applied: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OurOrder:
    """One order by our records; ``steps`` are all steps under its id, oldest first."""

    transfer_id: UUID
    leg: Leg
    amount: Decimal
    currency: str
    steps: Sequence[OurStep]
    ended_at: datetime
    """When its transfer ended, by Postgres."""
    decision: Decision | None = None
    """What a person said of the transfer, who thereby vouched for what is at the wallets."""
    is_here: bool = True
    """It was given to the address that the wallet has now; another server's feed need not know it."""

    @property
    def step_id(self) -> str:
        return order_id_of(self.transfer_id, self.leg)

    @property
    def op(self) -> Literal["debit", "credit"]:
        return "debit" if self.leg == "debit" else "credit"

    @property
    def is_certain(self) -> bool:
        """Tell whether every step has an outcome, or a person has said what became of it."""
        return self.decision is not None or all(step.applied is not None for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class TheirOrder:
    """The newest state of one order by the wallet's feed. A tombstone has no op, amount and currency."""

    step_id: str
    state: str
    op: str | None
    amount: Decimal | None
    currency: str | None
    wallet_txn_id: str | None

    @property
    def is_tombstone(self) -> bool:
        """Tell whether it was cancelled before the wallet ever saw it."""
        return self.op is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One difference. ``ours`` and ``theirs`` are what each side says, None for nothing."""

    kind: Kind
    step_id: str | None = None
    wallet_txn_id: str | None = None
    ours: dict[str, Any] | None = None
    theirs: dict[str, Any] | None = None


def expected_of(order: OurOrder) -> Expected:
    """Return what an order that has ended must be at the wallet: the last step that did something decides.

    Where that never became known, and of what we left held, the person's decision says it: see ``_by_decision``.
    """
    expected: Expected = "nothing"
    for step in order.steps:
        match step.kind:
            case kind if step.applied is None:
                expected = _by_decision(order.decision, kind)
            case StepKind.HOLD:
                expected = "held" if step.applied else "nothing"
            case StepKind.COMMIT:
                expected = "committed" if step.applied else "nothing"
            case StepKind.RELEASE:
                # Only a hold that the wallet had taken already cannot be let go.
                expected = "nothing" if step.applied else "committed"
            case _:
                expected = "committed" if step.applied else "nothing"
    if expected == "held" and order.decision is not None:
        return _by_decision(order.decision, StepKind.HOLD)
    return expected


def _by_decision(decision: Decision | None, kind: StepKind) -> Expected:
    """Return what a decision means for a step of which we do not know what it did.

    Completed: debited and credited, and nothing given back. Failed: nothing moved, or what was taken was given back.
    """
    return "committed" if (decision == "completed") is (kind is not StepKind.REFUND) else "nothing"


def compare(ours: OurOrder, theirs: TheirOrder | None) -> Break | None:
    """Return the difference of an order that has ended; None where there is none."""
    expected = expected_of(ours)
    if theirs is None and (expected == "nothing" or not ours.is_here):
        return None
    told = {"state": expected, "op": ours.op, "amount": format(ours.amount, "f"), "currency": ours.currency}
    if theirs is None:
        return Break(kind="missing_at_wallet", step_id=ours.step_id, ours=told)
    kind = _difference(ours, theirs, expected)
    if kind is None:
        return None
    return Break(
        kind=kind,
        step_id=ours.step_id,
        wallet_txn_id=theirs.wallet_txn_id,
        ours=told,
        theirs=shown_theirs(theirs),
    )


def _difference(ours: OurOrder, theirs: TheirOrder, expected: Expected) -> Kind | None:
    if theirs.state not in _AS_EXPECTED[expected]:
        return "state_differs"
    is_same = (theirs.op, theirs.amount, theirs.currency) == (ours.op, ours.amount, ours.currency)
    return None if is_same or theirs.is_tombstone else "amount_differs"


def unknown(theirs: TheirOrder) -> Break:
    """Return the break of an order that only the wallet knows."""
    return Break(
        kind="unknown_to_us",
        step_id=theirs.step_id,
        wallet_txn_id=theirs.wallet_txn_id,
        theirs=shown_theirs(theirs),
    )


def shown_theirs(theirs: TheirOrder) -> dict[str, Any]:
    """Return what the wallet says of an order."""
    amount = None if theirs.amount is None else format(theirs.amount, "f")
    return {"state": theirs.state, "op": theirs.op, "amount": amount, "currency": theirs.currency}
