"""How one step gets to its outcome: the whole decision as a table."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet_gateway.transfers.plan import StepKind
from wallet_gateway.transfers.resolution import (
    JITTER,
    Action,
    Applied,
    Attempt,
    Call,
    Finding,
    Mode,
    NotApplied,
    Outcome,
    Policy,
    Review,
    Send,
    State,
    Step,
    decide,
    mode_of,
    time_allowed,
)

BEGUN: Final = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
POLICY: Final = Policy(jitter=lambda: 0.5)
SOON: Final = timedelta(seconds=1)
LATE: Final = timedelta(seconds=61)
A_DAY: Final = timedelta(hours=24)
MAIN: Final[dict[StepKind, Call]] = {
    StepKind.HOLD: "put",
    StepKind.DEBIT: "put",
    StepKind.CREDIT: "put",
    StepKind.REFUND: "put",
    StepKind.COMMIT: "commit",
    StepKind.RELEASE: "cancel",
}
FENCED: Final = (StepKind.HOLD, StepKind.DEBIT, StepKind.CREDIT, StepKind.COMMIT)
PERSISTENT: Final = (StepKind.COMMIT, StepKind.RELEASE, StepKind.REFUND)


def _step(kind: StepKind, mode: Mode, *attempts: tuple[Call, Outcome | None]) -> Step:
    allowed = time_allowed(mode, kind, step_seconds=60, policy=POLICY)
    made = tuple(Attempt(call, outcome) for call, outcome in attempts)
    return Step(kind=kind, mode=mode, begun_at=BEGUN, not_after=BEGUN + allowed, attempts=made)


def _after(step: Step, finding: Finding | None, elapsed: timedelta = SOON) -> Action:
    return decide(step, finding, now=BEGUN + elapsed, policy=POLICY)


def _definitive(state: State, code: str | None = None) -> Finding:
    return Finding(outcome="definitive", state=state, code=code)


UNKNOWN: Final = Finding(outcome="unknown", code="timeout")
NOT_SENT: Final = Finding(outcome="not_sent", code="connect_failed")
NOT_FOUND: Final = Finding(outcome="not_found")


@pytest.mark.parametrize(
    ("kind", "state", "expected"),
    [
        (StepKind.HOLD, "held", Applied),
        (StepKind.HOLD, "committed", Review),
        (StepKind.HOLD, "rejected", NotApplied),
        (StepKind.HOLD, "cancelled", NotApplied),
        *(
            (kind, state, expected)
            for kind in (StepKind.DEBIT, StepKind.CREDIT, StepKind.REFUND)
            for state, expected in (
                ("committed", Applied),
                ("held", Review),
                ("rejected", NotApplied),
                ("cancelled", NotApplied),
            )
        ),
        (StepKind.COMMIT, "committed", Applied),
        (StepKind.COMMIT, "cancelled", NotApplied),
        (StepKind.COMMIT, "rejected", NotApplied),
        (StepKind.COMMIT, "held", Send),
        (StepKind.RELEASE, "cancelled", Applied),
        (StepKind.RELEASE, "rejected", Applied),
        (StepKind.RELEASE, "committed", NotApplied),
        (StepKind.RELEASE, "held", Send),
    ],
)
def test_a_definitive_state_decides(kind: StepKind, state: State, expected: type[Action]) -> None:
    """Every state of every step; one that the step cannot have is for a person."""
    mode = Mode.FENCE if kind in FENCED else Mode.PERSIST
    action = _after(_step(kind, mode, (MAIN[kind], "definitive")), _definitive(state))
    assert isinstance(action, expected)
    if isinstance(action, Review):
        assert action.failure.code == "unexpected_state"


@pytest.mark.parametrize("kind", FENCED)
@pytest.mark.parametrize("elapsed", [SOON, LATE])
def test_the_refusal_names_the_wallets_code(kind: StepKind, elapsed: timedelta) -> None:
    """Early or late."""
    step = _step(kind, Mode.FENCE, (MAIN[kind], "definitive"))
    action = _after(step, _definitive("rejected", "insufficient_funds"), elapsed)
    assert isinstance(action, NotApplied)
    assert action.failure.code == "insufficient_funds"


@pytest.mark.parametrize("kind", list(StepKind))
@pytest.mark.parametrize("mode", list(Mode))
def test_a_wrong_echo_is_for_a_person_at_once(kind: StepKind, mode: Mode) -> None:
    """Whatever the step."""
    action = _after(_step(kind, mode, (MAIN[kind], "echo_mismatch")), Finding(outcome="echo_mismatch", code="amount"))
    assert isinstance(action, Review)
    assert action.failure.code == "echo_mismatch"


@pytest.mark.parametrize("kind", FENCED)
@pytest.mark.parametrize("finding", [UNKNOWN, NOT_SENT, NOT_FOUND])
def test_before_its_time_is_over_the_same_call_is_made_again(kind: StepKind, finding: Finding) -> None:
    """After a delay."""
    action = _after(_step(kind, Mode.FENCE, (MAIN[kind], finding.outcome)), finding)
    assert action == Send(call=MAIN[kind], at=BEGUN + SOON + timedelta(seconds=POLICY.retry_seconds[0]))


@pytest.mark.parametrize("kind", [StepKind.HOLD, StepKind.DEBIT, StepKind.CREDIT])
def test_what_was_never_sent_has_not_happened(kind: StepKind) -> None:
    """Certain without asking, once there is no time left."""
    step = _step(kind, Mode.FENCE, ("put", "not_sent"), ("put", "not_sent"))
    action = _after(step, NOT_SENT, LATE)
    assert isinstance(action, NotApplied)
    assert action.failure.code == "wallet_unreachable"


@pytest.mark.parametrize("kind", [StepKind.HOLD, StepKind.DEBIT, StepKind.CREDIT])
@pytest.mark.parametrize("earlier", ["unknown", None, "not_found", "definitive"])
def test_not_sent_after_a_sent_attempt_stays_unknown(kind: StepKind, earlier: Outcome | None) -> None:
    """Also where the earlier one is only intended: we went down, and it may have left."""
    step = _step(kind, Mode.FENCE, ("put", earlier), ("put", "not_sent"))
    assert _after(step, NOT_SENT, LATE) == Send(call="get", at=BEGUN + LATE)


@pytest.mark.parametrize("kind", FENCED)
def test_after_its_time_it_is_asked_for_and_then_fenced(kind: StepKind) -> None:
    """GET, then cancel, then cancel again: never back, not even where the clock was put back."""
    tried: list[tuple[Call, Outcome | None]] = [(MAIN[kind], "unknown")]
    assert _after(_step(kind, Mode.FENCE, *tried), UNKNOWN, LATE) == Send(call="get", at=BEGUN + LATE)
    tried.append(("get", "not_found"))
    assert _after(_step(kind, Mode.FENCE, *tried), NOT_FOUND, LATE) == Send(call="cancel", at=BEGUN + LATE)
    tried.append(("cancel", "unknown"))
    for finding, elapsed in ((UNKNOWN, LATE), (NOT_SENT, LATE), (None, LATE), (UNKNOWN, SOON), (None, SOON)):
        action = _after(_step(kind, Mode.FENCE, *tried), finding, elapsed)
        assert isinstance(action, Send)
        assert action.call == "cancel"


@pytest.mark.parametrize("kind", FENCED)
def test_not_found_is_never_final(kind: StepKind) -> None:
    """The order may still be on its way."""
    for attempts in ((("put", "unknown"), ("get", "not_found")), (("get", "not_found"),)):
        step = _step(kind, Mode.FENCE, *attempts)
        assert _after(step, NOT_FOUND, LATE) == Send(call="cancel", at=BEGUN + LATE)


def test_a_commit_that_was_never_sent_is_fenced_as_well() -> None:
    """The hold is there, and must be let go of: also after a day nobody may say that nothing happened."""
    step = _step(StepKind.COMMIT, Mode.FENCE, ("commit", "not_sent"))
    assert _after(step, NOT_SENT, LATE) == Send(call="get", at=BEGUN + LATE)
    assert isinstance(_after(step, NOT_SENT, A_DAY), Review)


@pytest.mark.parametrize("cancel", ["unknown", None])
@pytest.mark.parametrize("finding_of", ["get", "cancel"])
def test_held_counts_for_nothing_while_a_cancel_may_arrive(cancel: Outcome | None, finding_of: Call) -> None:
    """The cancel would take away the hold that we rely on: it is sent until it is certain."""
    step = _step(StepKind.HOLD, Mode.FENCE, ("put", "unknown"), ("cancel", cancel), (finding_of, "definitive"))
    action = _after(step, _definitive("held"), LATE)
    assert isinstance(action, Send)
    assert action.call == "cancel"
    not_sent = _step(StepKind.HOLD, Mode.FENCE, ("put", "unknown"), ("cancel", "not_sent"), ("get", "definitive"))
    assert _after(not_sent, _definitive("held"), LATE) == Applied()


@pytest.mark.parametrize("kind", PERSISTENT)
@pytest.mark.parametrize("elapsed", [SOON, LATE, A_DAY - SOON])
@pytest.mark.parametrize("finding", [UNKNOWN, NOT_SENT, None])
def test_what_must_happen_is_sent_until_a_person_must_decide(
    kind: StepKind, elapsed: timedelta, finding: Finding | None
) -> None:
    """A commit after the credit, a release, a refund: no fence, no end but the day's."""
    outcome: Outcome | None = finding.outcome if finding else "unknown"
    action = _after(_step(kind, Mode.PERSIST, (MAIN[kind], outcome)), finding, elapsed)
    assert isinstance(action, Send)
    assert action.call == MAIN[kind]


@pytest.mark.parametrize(
    ("kind", "mode"), [*((kind, Mode.FENCE) for kind in FENCED), *((k, Mode.PERSIST) for k in PERSISTENT)]
)
@pytest.mark.parametrize("finding", [UNKNOWN, NOT_SENT, NOT_FOUND, None])
def test_after_a_day_a_person_must_decide(kind: StepKind, mode: Mode, finding: Finding | None) -> None:
    """Never a guess."""
    outcome: Outcome = finding.outcome if finding else "unknown"
    step = _step(kind, mode, (MAIN[kind], "unknown"), (MAIN[kind], outcome))
    action = _after(step, finding, A_DAY)
    assert isinstance(action, Review)
    assert action.failure.code == "outcome_unknown"


@pytest.mark.parametrize(
    "finding", [UNKNOWN, NOT_FOUND, _definitive("rejected", "limit_exceeded"), _definitive("held")]
)
@pytest.mark.parametrize("kind", [StepKind.DEBIT, StepKind.CREDIT, StepKind.REFUND])
def test_without_a_safe_retry_everything_but_success_is_for_a_person(kind: StepKind, finding: Finding) -> None:
    """At once, and never sent again."""
    action = _after(_step(kind, Mode.ONCE, ("put", finding.outcome)), finding)
    assert isinstance(action, Review)
    assert action.failure.code == "outcome_unknown"
    assert _after(_step(kind, Mode.ONCE, ("put", "definitive")), _definitive("committed")) == Applied()


def test_without_a_safe_retry_an_interrupted_call_is_for_a_person() -> None:
    """We went down with the intent written: it may have left."""
    assert isinstance(_after(_step(StepKind.CREDIT, Mode.ONCE, ("put", "unknown")), None), Review)


def test_without_a_safe_retry_what_did_not_leave_is_sent_again() -> None:
    """Nothing of it is with the wallet."""
    step = _step(StepKind.CREDIT, Mode.ONCE, ("put", "not_sent"))
    assert isinstance(_after(step, NOT_SENT), Send)
    assert isinstance(_after(step, NOT_SENT, LATE), NotApplied)


@pytest.mark.parametrize(
    ("kind", "credited", "repeats_safely", "mode"),
    [
        (StepKind.HOLD, False, True, Mode.FENCE),
        (StepKind.DEBIT, False, True, Mode.FENCE),
        (StepKind.CREDIT, False, True, Mode.FENCE),
        (StepKind.COMMIT, False, True, Mode.FENCE),
        (StepKind.COMMIT, True, True, Mode.PERSIST),
        (StepKind.RELEASE, False, True, Mode.PERSIST),
        (StepKind.REFUND, False, True, Mode.PERSIST),
        *((kind, False, False, Mode.ONCE) for kind in StepKind),
    ],
)
def test_how_hard_a_step_is_tried(kind: StepKind, mode: Mode, *, credited: bool, repeats_safely: bool) -> None:
    """A commit may be given up until the target has its money, and never afterwards."""
    assert mode_of(kind, credited=credited, repeats_safely=repeats_safely) is mode


def test_delays_grow_to_their_bound_and_start_anew_with_the_resolving() -> None:
    """Each list's last delay is for ever."""
    tried: list[tuple[Call, Outcome | None]] = []
    seconds = []
    for _ in range(8):
        tried.append(("put", "unknown"))
        action = _after(_step(StepKind.CREDIT, Mode.FENCE, *tried), UNKNOWN)
        assert isinstance(action, Send)
        seconds.append((action.at - BEGUN - SOON).total_seconds())
    assert seconds == [0.2, 0.5, 1, 2, 5, 5, 5, 5]
    tried += [("get", "unknown"), ("cancel", "unknown")]
    action = _after(_step(StepKind.CREDIT, Mode.FENCE, *tried), UNKNOWN, LATE)
    assert action == Send(call="cancel", at=BEGUN + LATE + timedelta(seconds=2))


CALLS = st.tuples(
    st.sampled_from(["put", "commit", "cancel", "get"]), st.sampled_from(["not_sent", "unknown", "not_found", None])
)


@given(
    kind=st.sampled_from(list(StepKind)),
    mode=st.sampled_from(list(Mode)),
    attempts=st.lists(CALLS, max_size=12),
    finding=st.sampled_from([None, UNKNOWN, NOT_SENT, NOT_FOUND]),
    elapsed_seconds=st.floats(-600, 200_000),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_nothing_is_ever_concluded_from_an_unknown(
    kind: StepKind,
    mode: Mode,
    attempts: list[tuple[Call, Outcome | None]],
    finding: Finding | None,
    elapsed_seconds: float,
    jitter: float,
) -> None:
    """Applied never; not applied only if nothing was ever sent; and a next call is never in the past, nor a day away."""
    step = _step(kind, mode, *attempts)
    now = BEGUN + timedelta(seconds=elapsed_seconds)
    action = decide(step, finding, now=now, policy=Policy(jitter=lambda: jitter))
    assert not isinstance(action, Applied)
    if isinstance(action, NotApplied):
        assert all(outcome == "not_sent" for _, outcome in attempts)
    if isinstance(action, Send):
        assert now <= action.at <= max(now, step.not_after) + timedelta(seconds=300 * (1 + JITTER))
