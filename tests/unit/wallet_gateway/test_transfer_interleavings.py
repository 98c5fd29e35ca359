"""Plan and resolution against model wallets: whatever interleaves, no money is lost or doubled, and nothing is told wrongly.

Applied and answer lost, late arrival, duplicate arrival, cancel, crash, a stalled worker that wakes up, hours that pass,
holds that end: Hypothesis looks for an order of these that breaks an invariant. The checker is shown to catch planted faults.
"""

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.counting_wallet import AMOUNT, ModelWallet
from support.transfer_world import (
    POLICY,
    STEP_SECONDS,
    InvariantBrokenError,
    ModelTransfer,
    Request,
    World,
)
from wallet_gateway.transfers import course
from wallet_gateway.transfers.course import Course, Move
from wallet_gateway.transfers.plan import End, Failure, Shape, StepKind
from wallet_gateway.transfers.resolution import Finding

SHAPES = st.sampled_from(list(Shape))


class Interleavings(RuleBasedStateMachine):
    """Two transfers between the same two wallets, of which the source can pay for one and a half."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.reviewed_rightly = False

    @initialize(
        shapes=st.lists(SHAPES, min_size=1, max_size=2),
        holds_end=st.booleans(),
        enough=st.booleans(),
        refuses=st.booleans(),
    )
    def begin(self, shapes: list[Shape], *, holds_end: bool, enough: bool, refuses: bool) -> None:
        source = self.world.new_wallet(AMOUNT * 3 // (1 if enough else 2), holds_end=holds_end)
        target = self.world.new_wallet(0)
        target.refuses = refuses
        for shape in shapes:
            self.world.new_transfer(shape, source, target)

    @precondition(lambda self: self._pending())
    @rule(data=st.data(), calls=st.integers(1, 3))
    def all_goes_well_for_a_while(self, data: st.DataObject, calls: int) -> None:
        """Make calls that are answered, by the worker that has the transfer or takes it when it is due."""
        transfer = data.draw(st.sampled_from(self._pending()))
        for _ in range(calls):
            if self.world.current(transfer) is None and transfer.status == "pending":
                assert transfer.due_at is not None
                self.world.now = max(self.world.now, transfer.due_at)
                self.world.take(transfer)
            self.world.make_one_call(transfer)
            self.world.check()

    @precondition(lambda self: self._pending())
    @rule(data=st.data())
    def a_worker_takes_a_transfer(self, data: st.DataObject) -> None:
        """One that waits, or one of a worker that went down or seems to have."""
        self.world.take(data.draw(st.sampled_from(self._pending())))

    @precondition(lambda self: self._unsent())
    @rule(data=st.data())
    def a_request_leaves(self, data: st.DataObject) -> None:
        """Of the worker that has the transfer, or of one that has lost it and does not know."""
        self.world.send(data.draw(st.sampled_from(self._unsent())))

    @precondition(lambda self: self._unsent())
    @rule(data=st.data())
    def a_request_cannot_leave(self, data: st.DataObject) -> None:
        self.world.fail_to_send(data.draw(st.sampled_from(self._unsent())))

    @precondition(lambda self: self._sent())
    @rule(data=st.data())
    def a_request_arrives(self, data: st.DataObject) -> None:
        """At once, late, or again."""
        self.world.arrive(data.draw(st.sampled_from(self._sent())))

    @precondition(lambda self: self._answered())
    @rule(data=st.data())
    def an_answer_is_heard(self, data: st.DataObject) -> None:
        self.world.hear(data.draw(st.sampled_from(self._answered())))

    @precondition(lambda self: self._waited_for())
    @rule(data=st.data())
    def an_answer_does_not_come(self, data: st.DataObject) -> None:
        """Lose the request or its answer, or let either be late."""
        self.world.give_up(data.draw(st.sampled_from(self._waited_for())))

    @rule(seconds=st.sampled_from([1, STEP_SECONDS, STEP_SECONDS, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.world.pass_time(timedelta(seconds=seconds))

    @precondition(lambda self: not self.reviewed_rightly and any(item.is_waited_for for item in self.world.requests))
    @rule()
    def a_day_passes(self) -> None:
        """Let a person decide what is unknown by then."""
        self.world.pass_time(POLICY.review_after)
        self.reviewed_rightly = True

    @rule(which=st.integers(0, 1), refuses=st.booleans())
    def a_wallet_is_frozen_or_thawed(self, which: int, *, refuses: bool) -> None:
        """Let it refuse every new order, or take them again."""
        self.world.wallets[which].refuses = refuses

    @precondition(lambda self: self.world.wallets[0].holds_end)
    @rule()
    def holds_end(self) -> None:
        self.world.wallets[0].end_holds()

    @invariant()
    def invariants_hold(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        """Whatever happened, every transfer comes to an end, and only a refund that is refused or a day needs a person."""
        if not self.world.wallets:
            return
        self.world.finish()
        for transfer in self.world.transfers:
            refused_refund = any(done.kind is StepKind.REFUND for done in transfer.course.done)
            assert transfer.status != "manual_review" or self.reviewed_rightly or refused_refund, transfer
        self.world.resolve_credits_in_doubt()

    def _pending(self) -> list[ModelTransfer]:
        return [item for item in self.world.transfers if item.status == "pending"]

    def _unsent(self) -> list[Request]:
        return [request for request in self.world.requests if not request.is_sent]

    def _sent(self) -> list[Request]:
        return [request for request in self.world.requests if request.is_sent]

    def _answered(self) -> list[Request]:
        return [request for request in self._sent() if request.answer and request.is_waited_for]

    def _waited_for(self) -> list[Request]:
        return [request for request in self.world.requests if request.is_waited_for]


Interleavings.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestInterleavings = Interleavings.TestCase


def _pair(world: World) -> tuple[ModelWallet, ModelWallet]:
    return world.new_wallet(AMOUNT), world.new_wallet(0)


def _carry_out(world: World, transfer: ModelTransfer, *, lose_the_answer_of: StepKind | None = None) -> None:
    """Take a transfer and go on with it until it waits or ends, losing one kind of answer."""
    world.take(transfer)
    while request := world.current(transfer):
        if request.kind is lose_the_answer_of:
            world.send(request)
            world.arrive(request)
            world.give_up(request)
        else:
            world.make_one_call(transfer)


def test_the_checker_catches_a_planted_double_credit() -> None:
    """A wallet that applies a repeated order again is found at the repetition after a lost answer."""
    world = World()
    source, target = _pair(world)
    target.applies_twice = True
    transfer = world.new_transfer(Shape.HOLD_CREDIT_COMMIT, source, target)
    _carry_out(world, transfer, lose_the_answer_of=StepKind.CREDIT)
    world.check()
    with pytest.raises(InvariantBrokenError, match="two effects"):
        world.finish()


def _fails_by_guess(known: Course, finding: Finding | None, **when: object) -> Move:
    """Do what must never be done: take an unknown outcome for a failure."""
    move = course.advance(known, finding, **when)  # type: ignore[arg-type]  # handed on as it came
    if finding is not None and finding.outcome == "unknown":
        return Move(course=move.course, end=End(status="failed", failure=Failure(code="timeout", detail="")))
    return move


def test_the_checker_catches_a_planted_loss() -> None:
    """An engine that takes a timeout for a failure is found out: the debit was made, and nobody has the money."""
    world = World(decide=_fails_by_guess)
    source, target = _pair(world)
    transfer = world.new_transfer(Shape.DEBIT_CREDIT, source, target)
    _carry_out(world, transfer, lose_the_answer_of=StepKind.DEBIT)
    with pytest.raises(InvariantBrokenError, match="failed is told"):
        world.check()


def test_the_checker_catches_a_late_arrival_after_trust_in_not_found() -> None:
    """An engine that believes "not found" is found out when the request arrives after all."""

    def trusts_not_found(known: Course, finding: Finding | None, **when: object) -> Move:
        move = course.advance(known, finding, **when)  # type: ignore[arg-type]  # handed on as it came
        if finding is not None and finding.outcome == "not_found":
            return Move(course=move.course, end=End(status="failed"))
        return move

    world = World(decide=trusts_not_found)
    source, target = _pair(world)
    transfer = world.new_transfer(Shape.DEBIT_CREDIT, source, target)
    world.take(transfer)
    (late,) = world.requests
    late.not_after += timedelta(hours=1)  # the wallet's clock is behind ours
    world.send(late)
    world.give_up(late)
    world.pass_time(timedelta(seconds=STEP_SECONDS))
    _carry_out(world, transfer)
    assert transfer.status == "failed"
    world.check()
    world.arrive(late)
    with pytest.raises(InvariantBrokenError, match="failed is told"):
        world.check()
