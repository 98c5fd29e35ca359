"""What a transfer consists of: from source and target to an ordered list of idempotent steps. Pure.

Nothing is credited before the debit is certain: either it has been made, or a hold that cannot end by itself guarantees it.
Whatever fails later is put right by a step of its own, never by forgetting:

===================== =============================== ===============================
shape                 steps                           the target refuses for certain
===================== =============================== ===============================
hold_credit_commit    hold · credit · commit          release → ``failed``
hold_commit_credit    hold · commit · credit          refund → ``reversed``
debit_credit          debit · credit                  refund → ``reversed``
===================== =============================== ===============================

``follow`` is the plan: what is done so far → what comes next. How one step gets to its outcome is ``resolution``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal
from uuid import UUID

from shared import typeids

Leg = Literal["debit", "credit", "refund"]
Side = Literal["source", "target"]
Ending = Literal["completed", "failed", "reversed", "manual_review"]


class StepKind(StrEnum):
    """One idempotent call at one wallet, as often as it takes."""

    HOLD = "hold"
    """Reserve the amount at the source."""
    DEBIT = "debit"
    """Take the amount from the source at once."""
    COMMIT = "commit"
    """Take what is held."""
    CREDIT = "credit"
    """Give the amount to the target."""
    RELEASE = "release"
    """Let go of what is held."""
    REFUND = "refund"
    """Give the amount back to the source, under an id of its own."""


class Shape(StrEnum):
    """The order of a transfer's steps; see the module."""

    HOLD_CREDIT_COMMIT = "hold_credit_commit"
    HOLD_COMMIT_CREDIT = "hold_commit_credit"
    DEBIT_CREDIT = "debit_credit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the order depends on."""

    is_home: bool
    holds: bool
    holds_expire: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something did not happen: a stable code, and words for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step whose outcome is certain. ``hold_ends``: it is a hold, and the wallet says that it will end by itself."""

    kind: StepKind
    applied: bool
    failure: Failure | None = None
    hold_ends: bool = False


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin this step."""

    kind: StepKind


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The transfer is over, or a person must decide."""

    status: Ending
    failure: Failure | None = None


_FORWARD: Final = {
    Shape.HOLD_CREDIT_COMMIT: (StepKind.HOLD, StepKind.CREDIT, StepKind.COMMIT),
    Shape.HOLD_COMMIT_CREDIT: (StepKind.HOLD, StepKind.COMMIT, StepKind.CREDIT),
    Shape.DEBIT_CREDIT: (StepKind.DEBIT, StepKind.CREDIT),
}
_PLACE: Final[dict[StepKind, tuple[Leg, int]]] = {
    StepKind.HOLD: ("debit", 1),
    StepKind.DEBIT: ("debit", 1),
    StepKind.COMMIT: ("debit", 2),
    StepKind.RELEASE: ("debit", 2),
    StepKind.CREDIT: ("credit", 1),
    StepKind.REFUND: ("refund", 1),
}
_OF_THE_HOLD: Final = frozenset({StepKind.COMMIT, StepKind.RELEASE})


def shape_of(source: Source) -> Shape:
    """Return the order for a source.

    Home keeps the amount reserved while the target is asked, unless its holds can end meanwhile. Elsewhere a hold is no
    guarantee that we can rely on: the debit is made in full before anything is credited.
    """
    if source.is_home:
        return Shape.HOLD_CREDIT_COMMIT if source.holds and not source.holds_expire else Shape.DEBIT_CREDIT
    return Shape.HOLD_COMMIT_CREDIT if source.holds else Shape.DEBIT_CREDIT


def forward(shape: Shape) -> tuple[StepKind, ...]:
    """Return the steps of a transfer that meets no refusal, in order."""
    return _FORWARD[shape]


def step_id(transfer_id: UUID, kind: StepKind) -> str:
    """Return ``<transfer>.<leg>.<n>``, the same each time."""
    leg, number = _PLACE[kind]
    return f"{typeids.encode('tr', transfer_id)}.{leg}.{number}"


def order_id(transfer_id: UUID, kind: StepKind) -> str:
    """Return the id by which the wallet knows it: a step's own, except that a hold is ended under the hold's."""
    return step_id(transfer_id, StepKind.HOLD if kind in _OF_THE_HOLD else kind)


def leg_of(kind: StepKind) -> Leg:
    """Return the leg a step belongs to."""
    return _PLACE[kind][0]


def side_of(kind: StepKind) -> Side:
    """Return at which of the two wallets a step is made."""
    return "target" if kind is StepKind.CREDIT else "source"


def follow(shape: Shape, done: Sequence[Done]) -> Begin | End:
    """Return what comes after these steps."""
    if not done:
        return Begin(_FORWARD[shape][0])
    last = done[-1]
    match last.kind:
        case StepKind.HOLD | StepKind.DEBIT:
            return _after_first(last, shape=shape)
        case StepKind.COMMIT:
            return _after_commit(last, credited=_was_applied(done, StepKind.CREDIT))
        case StepKind.CREDIT:
            held = _was_applied(done, StepKind.HOLD) and not _was_applied(done, StepKind.COMMIT)
            return _after_credit(last, held=held)
        case StepKind.RELEASE | StepKind.REFUND:
            return _after_compensation(last, refused=_failure_of(done, StepKind.CREDIT))


def _after_first(step: Done, *, shape: Shape) -> Begin | End:
    if not step.applied:
        return End(status="failed", failure=step.failure)
    if step.kind is StepKind.DEBIT:
        return Begin(StepKind.CREDIT)
    # A hold that ends by itself guarantees nothing, whatever the wallet said of its holds before.
    may_wait = shape is Shape.HOLD_CREDIT_COMMIT and not step.hold_ends
    return Begin(StepKind.CREDIT if may_wait else StepKind.COMMIT)


def _after_commit(commit: Done, *, credited: bool) -> Begin | End:
    if commit.applied:
        return End(status="completed") if credited else Begin(StepKind.CREDIT)
    if credited:
        lost = Failure(code="hold_lost", detail="The target was credited, and the source no longer holds the amount.")
        return End(status="manual_review", failure=lost)
    return End(status="failed", failure=commit.failure)


def _after_credit(credit: Done, *, held: bool) -> Begin | End:
    if credit.applied:
        return Begin(StepKind.COMMIT) if held else End(status="completed")
    return Begin(StepKind.RELEASE if held else StepKind.REFUND)


def _after_compensation(step: Done, *, refused: Failure | None) -> End:
    if step.applied:
        return End(status="failed" if step.kind is StepKind.RELEASE else "reversed", failure=refused)
    if step.kind is StepKind.RELEASE:
        taken = Failure(
            code="release_refused", detail="The target was not credited, and the source has taken what it held."
        )
        return End(status="manual_review", failure=taken)
    why = step.failure.code if step.failure else "unknown"
    kept = Failure(
        code="refund_refused", detail=f"The target was not credited, and the source was not refunded: {why}."
    )
    return End(status="manual_review", failure=kept)


def _was_applied(done: Sequence[Done], kind: StepKind) -> bool:
    return any(step.kind is kind and step.applied for step in done)


def _failure_of(done: Sequence[Done], kind: StepKind) -> Failure | None:
    return next((step.failure for step in done if step.kind is kind), None)
