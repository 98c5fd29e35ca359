"""Where a transfer stands, and its next move: the plan of its steps and the resolution of each, put together. Pure.

The engine does nothing but carry out moves: write one down, make the call, hand in what it found out. A course is rebuilt from
what was written down, so whoever goes on with a transfer after a crash makes the move that would have been made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from wallet_gateway.external_wallets.retention import resolvable_for
from wallet_gateway.transfers import plan, resolution
from wallet_gateway.transfers.plan import Begin, Done, End, Failure, Shape, Side, StepKind
from wallet_gateway.transfers.resolution import Applied, Attempt, Call, Finding, NotApplied, Policy, Review, Send, Step

Decision = Literal["completed", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How one of the two wallets may be dealt with."""

    repeats_safely: bool
    step_seconds: int
    retention: timedelta | None = None
    """For how long it knows an id; None: it has not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is certain (``done``), and the step under way with every call made for it.

    Whoever takes a course over has to write "unknown" over the outcome of the last call, if that one is None.
    """

    transfer_id: UUID
    shape: Shape
    terms: Mapping[Side, Terms]
    done: tuple[Done, ...] = ()
    step: Step | None = None

    @property
    def outcome_is_unknown(self) -> bool:
        """Tell whether a call has ended without our knowing what it did. One still in flight is not counted."""
        if self.step is None:
            return False
        return any(attempt.outcome is not None and attempt.may_have_arrived for attempt in self.step.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What to write down, and to do once it is written.

    ``concluded`` is a step whose outcome has just become certain. ``call`` is to be made at ``at``; if that is now, it stands
    in the course as intended already. ``end``: there is nothing more to do.
    """

    course: Course
    concluded: Done | None = None
    begun: bool = False
    call: Call | None = None
    at: datetime | None = None
    end: End | None = None
    is_postponed: bool = False

    def is_made_now(self, now: datetime) -> bool:
        """Tell whether the call is intended, and made as soon as that is written down."""
        return self.end is None and not self.is_postponed and self.at is not None and self.at <= now


def advance(course: Course, finding: Finding | None, *, now: datetime, policy: Policy) -> Move:
    """Return the move after ``finding`` of the latest call; None: the transfer is new, was left alone, or is due again."""
    if course.step is None:
        return _follow(course, None, now=now, policy=policy)
    if finding is not None:
        course = _learned(course, finding)
    assert course.step is not None
    remembered = _while_remembered(course, course.step, policy)
    match resolution.decide(course.step, finding, now=now, policy=remembered):
        case Send(call=call, at=at):
            return _call(course, call, at=at, now=now)
        case Applied(hold_ends=hold_ends):
            return _conclude(
                course, Done(kind=course.step.kind, applied=True, hold_ends=hold_ends), now=now, policy=policy
            )
        case NotApplied(failure=failure):
            return _conclude(
                course, Done(kind=course.step.kind, applied=False, failure=failure), now=now, policy=policy
            )
        case Review(failure=failure):
            return Move(course=course, end=End(status="manual_review", failure=failure))


def settle(course: Course, decision: Decision, *, now: datetime, policy: Policy) -> Move:
    """Return the move after a person has decided about a transfer under review.

    What the person vouches for is whether the target has its money. If that was the question, the transfer goes on by itself:
    what is held is taken or let go, what was taken is given back. In every other case the person has put both wallets
    right, and nothing more is called.
    """
    if course.step is None or course.step.kind is not StepKind.CREDIT:
        return Move(course=course, end=_decided(course, decision))
    failure = Failure(code="decided", detail="A person found that the target was not credited.")
    applied = decision == "completed"
    credit = Done(kind=StepKind.CREDIT, applied=applied, failure=None if applied else failure)
    return _conclude(course, credit, now=now, policy=policy)


def _decided(course: Course, decision: Decision) -> End:
    if decision == "completed":
        return End(status="completed")
    taken = any(
        done.applied
        if done.kind in {StepKind.DEBIT, StepKind.COMMIT}
        else done.kind is StepKind.RELEASE and not done.applied
        for done in course.done
    )
    failure = Failure(code="decided", detail="A person decided that it has failed, and put both wallets right.")
    return End(status="reversed" if taken else "failed", failure=failure)


def postpone(move: Move) -> Move:
    """Return the move without the call that would be made now: somebody else makes it, at once."""
    step = move.course.step
    if move.end is not None or step is None or not step.attempts or step.attempts[-1].outcome is not None:
        return move
    course = replace(move.course, step=replace(step, attempts=step.attempts[:-1]))
    return replace(move, course=course, is_postponed=True)


def _conclude(course: Course, done: Done, *, now: datetime, policy: Policy) -> Move:
    return _follow(replace(course, done=(*course.done, done), step=None), done, now=now, policy=policy)


def _follow(course: Course, concluded: Done | None, *, now: datetime, policy: Policy) -> Move:
    match plan.follow(course.shape, course.done):
        case End() as end:
            return Move(course=course, concluded=concluded, end=end)
        case Begin(kind=kind):
            step = _new_step(course, kind, now=now, policy=policy)
            action = resolution.decide(step, None, now=now, policy=policy)
            assert isinstance(action, Send)
            move = _call(replace(course, step=step), action.call, at=now, now=now)
            return replace(move, concluded=concluded, begun=True)


def _new_step(course: Course, kind: StepKind, *, now: datetime, policy: Policy) -> Step:
    terms = course.terms[plan.side_of(kind)]
    credited = any(done.kind is StepKind.CREDIT and done.applied for done in course.done)
    mode = resolution.mode_of(kind, credited=credited, repeats_safely=terms.repeats_safely)
    allowed = resolution.time_allowed(mode, kind, step_seconds=terms.step_seconds, policy=policy)
    return Step(kind=kind, mode=mode, begun_at=now, not_after=now + allowed)


def _call(course: Course, call: Call, *, at: datetime, now: datetime) -> Move:
    """Return the move of a call; one that is made now is intended from here on, one for later not yet."""
    assert course.step is not None
    if at > now:
        return Move(course=course, call=call, at=at)
    step = replace(course.step, attempts=(*course.step.attempts, Attempt(call, None)))
    return Move(course=replace(course, step=step), call=call, at=at)


def _while_remembered(course: Course, step: Step, policy: Policy) -> Policy:
    """Return the policy under which a wallet is never called about an id that it may have forgotten, and would do again."""
    retention = course.terms[plan.side_of(step.kind)].retention
    return replace(policy, review_after=resolvable_for(retention, review_after=policy.review_after))


def _learned(course: Course, finding: Finding) -> Course:
    """Write the latest call's outcome into the course."""
    assert course.step is not None
    *before, last = course.step.attempts
    attempts = (*before, replace(last, outcome=finding.outcome))
    return replace(course, step=replace(course.step, attempts=attempts))
