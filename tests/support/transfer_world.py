"""A model of wallets, a network and workers, for tests of plan and resolution: everything that can interleave, does.

Requests may arrive at any later time, or twice, or never; answers may be lost; a worker may go down between any two of its
actions, or stall, and wake up when another one has taken over. Only the pure modules of the service run here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from shared import typeids
from support.counting_wallet import AMOUNT, ModelWallet
from wallet_gateway.transfers import plan
from wallet_gateway.transfers.course import Course, Decision, Move, Terms, advance, settle
from wallet_gateway.transfers.plan import Shape, Side, StepKind
from wallet_gateway.transfers.resolution import Call, Finding, Policy

POLICY = Policy(jitter=lambda: 0.5)
STEP_SECONDS = 60


class InvariantBrokenError(AssertionError):
    """Money was lost, doubled, or claimed to be where it is not."""


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """One call by one worker: not sent yet, on its way, or arrived. ``answer`` is on its way back once it is set."""

    transfer: "ModelTransfer"
    fence: int
    kind: StepKind
    call: Call
    not_after: datetime
    is_sent: bool = False
    is_waited_for: bool = True
    answer: Finding | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class ModelTransfer:
    """A transfer as it is written down."""

    course: Course
    source: ModelWallet
    target: ModelWallet
    status: str = "pending"
    due_at: datetime | None = None
    fence: int = 0

    def wallet_of(self, kind: StepKind) -> ModelWallet:
        """Return the wallet at which a step is made."""
        return self.target if plan.side_of(kind) == "target" else self.source

    def effects(self, kind: StepKind) -> int:
        """Return how often a step's order changed its wallet's ledger."""
        return self.wallet_of(kind).effects(plan.order_id(self.course.transfer_id, kind))


class World:
    """Wallets, transfers between them, requests on their way, and a clock."""

    def __init__(self, *, decide: Callable[..., Move] = advance) -> None:
        self.now = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
        self.wallets: list[ModelWallet] = []
        self.transfers: list[ModelTransfer] = []
        self.requests: list[Request] = []
        self._advance = decide
        self._total = 0

    def new_wallet(self, ledger: int, *, holds_end: bool = False) -> ModelWallet:
        """Add a wallet."""
        wallet = ModelWallet(ledger=ledger, holds_end=holds_end)
        self.wallets.append(wallet)
        self._total += ledger
        return wallet

    def new_transfer(
        self, shape: Shape, source: ModelWallet, target: ModelWallet, *, repeats_safely: bool = True
    ) -> ModelTransfer:
        """Accept a transfer."""
        terms = Terms(repeats_safely=repeats_safely, step_seconds=STEP_SECONDS)
        sides: dict[Side, Terms] = {"source": terms, "target": terms}
        course = Course(transfer_id=typeids.new_id(), shape=shape, terms=sides)
        transfer = ModelTransfer(course=course, source=source, target=target, due_at=self.now)
        self.transfers.append(transfer)
        return transfer

    def take(self, transfer: ModelTransfer) -> None:
        """Let a worker take a transfer: a new one, one that is due, or one whose worker went down or stalled."""
        transfer.fence += 1
        step = transfer.course.step
        if step is not None and step.attempts and step.attempts[-1].outcome is None:
            *before, last = step.attempts
            attempts = (*before, replace(last, outcome="unknown"))
            transfer.course = replace(transfer.course, step=replace(step, attempts=attempts))
        self._write(transfer, self._advance(transfer.course, None, now=self.now, policy=POLICY))

    def send(self, request: Request) -> None:
        """Let the worker's request leave."""
        request.is_sent = True

    def fail_to_send(self, request: Request) -> None:
        """Let the worker find that nothing can leave."""
        self.requests.remove(request)
        self._learn(request, Finding(outcome="not_sent", code="connect_failed"))

    def arrive(self, request: Request) -> None:
        """Let a request arrive, for the first time or again."""
        wallet = request.transfer.wallet_of(request.kind)
        state = wallet.receive(
            request.call,
            plan.order_id(request.transfer.course.transfer_id, request.kind),
            kind=request.kind,
            expired=self.now > request.not_after,
        )
        if state is None:
            request.answer = Finding(outcome="not_found")
        else:
            hold_ends = wallet.holds_end and state == "held"
            request.answer = Finding(outcome="definitive", state=state, hold_ends=hold_ends)

    def hear(self, request: Request) -> None:
        """Let the answer reach the worker."""
        assert request.answer is not None
        self.requests.remove(request)
        self._learn(request, request.answer)

    def give_up(self, request: Request) -> None:
        """Let the worker stop waiting: its time is over, the answer broken or lost. The request may arrive all the same."""
        request.is_waited_for = False
        self._learn(request, Finding(outcome="unknown", code="timeout"))

    def decide(self, transfer: ModelTransfer, decision: Decision) -> None:
        """Let a person decide."""
        assert transfer.status == "manual_review"
        transfer.fence += 1
        transfer.status = "pending"
        self._write(transfer, settle(transfer.course, decision, now=self.now, policy=POLICY))

    def pass_time(self, amount: timedelta) -> None:
        """Turn the clock."""
        self.now += amount

    def finish(self) -> None:
        """Let every transfer come to its end with nothing going wrong any more, then let everything late arrive."""
        for transfer in self.transfers:
            for _ in range(100):
                if transfer.status != "pending":
                    break
                assert transfer.due_at is not None
                self.now = max(self.now, transfer.due_at)
                self.take(transfer)
                while self.current(transfer):
                    self.make_one_call(transfer)
                    self.check()
            assert transfer.status != "pending", transfer
        self.check()
        for request in list(self.requests):
            if request.is_sent:
                self.arrive(request)
                self.check()

    def resolve_credits_in_doubt(self) -> None:
        """Let a person find out, once everything has arrived, whether targets have their money; then let all come to its end."""
        for transfer in self.transfers:
            step = transfer.course.step
            if transfer.status == "manual_review" and step is not None and step.kind is StepKind.CREDIT:
                self.decide(transfer, "completed" if transfer.effects(StepKind.CREDIT) else "failed")
        self.finish()

    def make_one_call(self, transfer: ModelTransfer) -> None:
        """Let the call that a transfer waits for, if any, go out and its answer come back."""
        if request := self.current(transfer):
            self.send(request)
            self.arrive(request)
            self.hear(request)

    def current(self, transfer: ModelTransfer) -> Request | None:
        """Return the call that the worker which has a transfer waits for."""
        mine = (item for item in self.requests if item.transfer is transfer and item.fence == transfer.fence)
        return next((item for item in mine if item.is_waited_for), None)

    def _learn(self, request: Request, finding: Finding) -> None:
        if request.fence != request.transfer.fence:
            return  # taken over meanwhile: what this worker would write is refused
        self._write(request.transfer, self._advance(request.transfer.course, finding, now=self.now, policy=POLICY))

    def _write(self, transfer: ModelTransfer, move: Move) -> None:
        transfer.course = move.course
        transfer.due_at = move.at
        if move.end is not None:
            transfer.status = move.end.status
        elif move.at is not None and move.at <= self.now:
            step = move.course.step
            assert move.call is not None
            assert step is not None
            self.requests.append(
                Request(
                    transfer=transfer,
                    fence=transfer.fence,
                    kind=step.kind,
                    call=move.call,
                    not_after=step.not_after,
                )
            )

    def check(self) -> None:
        """Raise InvariantBrokenError unless invariants 1 to 6 hold (proofs.md)."""
        in_between = 0
        for transfer in self.transfers:
            self._check_transfer(transfer)
            debited = transfer.effects(StepKind.HOLD)
            in_between += debited - transfer.effects(StepKind.CREDIT) - transfer.effects(StepKind.REFUND)
        total = sum(wallet.ledger for wallet in self.wallets) + AMOUNT * in_between
        _require(total == self._total, f"{total} is there, and {self._total} was")
        for wallet in self.wallets:
            _require(wallet.available >= 0, "an available balance is negative")

    def _check_transfer(self, transfer: ModelTransfer) -> None:
        debit, credit, refund = (transfer.effects(kind) for kind in (StepKind.DEBIT, StepKind.CREDIT, StepKind.REFUND))
        _require(max(debit, credit, refund) <= 1, "a step has had two effects")
        moved = (debit, credit, refund)
        told = {"completed": [(1, 1, 0)], "failed": [(0, 0, 0)], "reversed": [(1, 0, 1)]}.get(transfer.status)
        _require(told is None or moved in told, f"{transfer.status} is told of {moved}")
        for done in transfer.course.done:
            expected = done.applied if done.kind in {StepKind.DEBIT, StepKind.COMMIT, StepKind.CREDIT} else None
            if done.kind is StepKind.REFUND:
                expected = done.applied
            if expected is not None:
                _require(transfer.effects(done.kind) == int(expected), f"{done.kind} is told to be {expected}")
        if transfer.status == "pending":
            _require(transfer.due_at is not None, "nobody will ever resolve this transfer")
        elif transfer.status != "manual_review":
            held = transfer.source.orders.get(plan.order_id(transfer.course.transfer_id, StepKind.HOLD))
            _require(held is None or held.state != "held", "a transfer is over and still holds the amount")


def _require(truth: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion that a test can tell from others
    if not truth:
        raise InvariantBrokenError(otherwise)
