"""How one step gets to its outcome. Pure: the whole decision stands on this page, and is tested as a table.

A step is sent, and sent again, until the wallet says for certain what became of it. What it says falls in one of five classes
(``wallet_gateway.protocols.classification``); what follows from each:

- *definitive*: the state decides, by ``_VERDICTS``;
- *echo mismatch*: a person must look, and everything stays as it is;
- *not sent*, and nothing of this step ever was: again until ``not_after``, then it did not happen;
- *not found*: never final, for the request may still be on its way;
- *unknown*: the same call again until ``not_after``; then GET; then the fencing cancel, after which a late debit is refused by
  the wallet; after ``review_after`` a person must decide. Never a guess.

Once a cancel may be on its way, ``held`` counts for nothing: the cancel may still arrive and take the hold away.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

from wallet_gateway.transfers.plan import Failure, StepKind

Call = Literal["put", "commit", "cancel", "get"]
State = Literal["held", "committed", "cancelled", "rejected"]
Outcome = Literal["not_sent", "definitive", "echo_mismatch", "not_found", "unknown"]

JITTER: Final = 0.1


class Mode(StrEnum):
    """How hard a step may be tried."""

    FENCE = "fence"
    """Send it until its time is over, then make sure that it can no longer happen, or learn that it has."""
    PERSIST = "persist"
    """It must happen: the other side is done already. Send it until a person must decide."""
    ONCE = "once"
    """The protocol has no safe retry: what is not known after one sending is decided by a person."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call that was intended; ``outcome`` None means that we went down before we could write what came of it."""

    call: Call
    outcome: Outcome | None

    @property
    def may_have_arrived(self) -> bool:
        """Tell whether the wallet may have it, or get it yet."""
        return self.outcome != "not_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step under way. ``attempts`` holds all of them, also the one whose finding is being judged."""

    kind: StepKind
    mode: Mode
    begun_at: datetime
    not_after: datetime
    attempts: Sequence[Attempt] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the latest call found out: its class, and what the wallet said where that is definitive."""

    outcome: Outcome
    code: str | None = None
    detail: str | None = None
    state: State | None = None
    hold_ends: bool = False
    wallet_txn_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Delays between calls. ``review_after`` is counted from the step's beginning."""

    retry_seconds: tuple[float, ...] = (0.2, 0.5, 1, 2, 5)
    resolver_seconds: tuple[float, ...] = (1, 2, 5, 10, 30, 60, 120, 300)
    review_after: timedelta = timedelta(hours=24)
    jitter: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """It happened at the wallet, for certain."""

    hold_ends: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotApplied:
    """It did not happen, and no longer can, for certain."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A person must decide; whatever is held stays held."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Make this call at ``at``."""

    call: Call
    at: datetime


Action = Applied | NotApplied | Review | Send

_Verdict = Literal["applied", "not_applied", "odd", "going_on"]
_ORDER: Final[dict[State, _Verdict]] = {
    "committed": "applied",
    "rejected": "not_applied",
    "cancelled": "not_applied",
    "held": "odd",
}
_VERDICTS: Final[dict[StepKind, dict[State, _Verdict]]] = {
    StepKind.HOLD: {**_ORDER, "held": "applied", "committed": "odd"},
    StepKind.DEBIT: _ORDER,
    StepKind.CREDIT: _ORDER,
    StepKind.REFUND: _ORDER,
    StepKind.COMMIT: {**_ORDER, "held": "going_on"},
    StepKind.RELEASE: {
        "cancelled": "applied",
        "rejected": "applied",
        "committed": "not_applied",
        "held": "going_on",
    },
}
_MAIN_CALL: Final[dict[StepKind, Call]] = {
    StepKind.HOLD: "put",
    StepKind.DEBIT: "put",
    StepKind.CREDIT: "put",
    StepKind.REFUND: "put",
    StepKind.COMMIT: "commit",
    StepKind.RELEASE: "cancel",
}
_ENDS_A_HOLD: Final = frozenset({StepKind.COMMIT, StepKind.RELEASE})


def mode_of(kind: StepKind, *, credited: bool, repeats_safely: bool) -> Mode:
    """Return how hard a step may be tried; ``credited``: the target has its money already."""
    if not repeats_safely:
        return Mode.ONCE
    if kind in {StepKind.RELEASE, StepKind.REFUND} or (kind is StepKind.COMMIT and credited):
        return Mode.PERSIST
    return Mode.FENCE


def time_allowed(mode: Mode, kind: StepKind, *, step_seconds: int, policy: Policy) -> timedelta:
    """Return how long after its beginning a step may still take effect: an order says so to the wallet (``not_after``).

    A refund is wanted however late it comes.
    """
    is_wanted_late = mode is Mode.PERSIST or kind is StepKind.REFUND
    return policy.review_after if is_wanted_late else timedelta(seconds=step_seconds)


def decide(step: Step, finding: Finding | None, *, now: datetime, policy: Policy) -> Action:
    """Return what follows ``finding`` of the last attempt; None: nothing new is known, and the step is due."""
    verdict = None if finding is None else _judge(step, finding)
    if verdict is not None:
        return verdict
    if step.mode is Mode.ONCE and _may_have_arrived(step):
        return _unknown()
    if now >= step.begun_at + policy.review_after:
        return _unknown() if _may_have_arrived(step) or step.kind in _ENDS_A_HOLD else _out_of_time(step, finding)
    if step.mode is Mode.PERSIST:
        return Send(call=_MAIN_CALL[step.kind], at=_later(step, finding, now=now, policy=policy))
    return _within_time(step, finding, now=now, policy=policy) or _after_time(step, finding, now=now, policy=policy)


def _judge(step: Step, finding: Finding) -> Action | None:
    """Return the outcome if this finding settles it."""
    if finding.outcome == "echo_mismatch":
        detail = finding.detail or "The wallet answered for another transfer, amount or currency."
        return Review(failure=Failure(code="echo_mismatch", detail=detail))
    if finding.outcome != "definitive":
        return None
    assert finding.state is not None
    verdict = _VERDICTS[step.kind][finding.state]
    if step.mode is Mode.ONCE and verdict != "applied":
        return _unknown()
    if finding.state == "held" and _cancel_may_arrive(step):
        verdict = "going_on"
    return _conclude(step, finding, verdict)


def _conclude(step: Step, finding: Finding, verdict: _Verdict) -> Action | None:
    match verdict:
        case "applied":
            return Applied(hold_ends=finding.hold_ends)
        case "not_applied":
            code = finding.code or str(finding.state)
            detail = finding.detail or f"The wallet says {finding.state}: {code}."
            return NotApplied(failure=Failure(code=code, detail=detail))
        case "odd":
            detail = f"The wallet says {finding.state} of a {step.kind}."
            return Review(failure=Failure(code="unexpected_state", detail=detail))
        case "going_on":
            return None


def _within_time(step: Step, finding: Finding | None, *, now: datetime, policy: Policy) -> Action | None:
    """Return the next sending if one fits before ``not_after``."""
    at = _later(step, finding, now=now, policy=policy)
    if at >= step.not_after or _cancel_may_arrive(step):
        return None
    return Send(call=_MAIN_CALL[step.kind], at=at)


def _after_time(step: Step, finding: Finding | None, *, now: datetime, policy: Policy) -> Action:
    """Return the way to certainty once there is no more time to send: nothing if nothing was sent, else GET, then cancel."""
    if not _may_have_arrived(step) and step.kind not in _ENDS_A_HOLD:
        return _out_of_time(step, finding)
    last = step.attempts[-1] if step.attempts else None
    if last is not None and last.call == "get" and last.may_have_arrived:
        return Send(call="cancel", at=now)
    if last is not None and last.call in {"get", "cancel"}:
        return Send(call="cancel", at=_later(step, finding, now=now, policy=policy))
    return Send(call="get", at=max(now, step.not_after))


def _later(step: Step, finding: Finding | None, *, now: datetime, policy: Policy) -> datetime:
    """Return when to make the next call: now if the step is due, else after a delay that grows with the calls made."""
    if finding is None:
        return now
    if step.mode is Mode.PERSIST:
        made, delays = len(step.attempts), sorted(policy.retry_seconds + policy.resolver_seconds)
    elif now >= step.not_after:
        made = sum(attempt.call in {"get", "cancel"} for attempt in step.attempts)
        delays = list(policy.resolver_seconds)
    else:
        made, delays = len(step.attempts), list(policy.retry_seconds)
    seconds = delays[min(max(made, 1), len(delays)) - 1]
    return now + timedelta(seconds=seconds * (1 + JITTER * (2 * policy.jitter() - 1)))


def _may_have_arrived(step: Step) -> bool:
    return any(attempt.may_have_arrived for attempt in step.attempts)


def _cancel_may_arrive(step: Step) -> bool:
    return any(attempt.call == "cancel" and attempt.may_have_arrived for attempt in step.attempts)


def _out_of_time(step: Step, finding: Finding | None) -> NotApplied:
    """Return the certainty that nothing happened: in all its time nothing left this process."""
    why = finding.code if finding is not None and finding.code else "not_sent"
    detail = f"The wallet could not be reached in time, and nothing of this {step.kind} was sent: {why}."
    return NotApplied(failure=Failure(code="wallet_unreachable", detail=detail))


def _unknown() -> Review:
    return Review(failure=Failure(code="outcome_unknown", detail="The wallet does not say what became of this step."))
