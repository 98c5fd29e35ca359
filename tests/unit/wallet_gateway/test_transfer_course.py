"""Where a transfer stands: what is told of it while a call is in flight, and how long a step has."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import pytest

from wallet_gateway.transfers.course import Course, Terms, advance, postpone
from wallet_gateway.transfers.plan import Done, Shape, StepKind
from wallet_gateway.transfers.resolution import Finding, Policy

NOW: Final = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
POLICY: Final = Policy(jitter=lambda: 0.5)


def _course(*done: Done, repeats_safely: bool = True) -> Course:
    terms = Terms(repeats_safely=repeats_safely, step_seconds=60)
    return Course(
        transfer_id=UUID("01a21663-27d7-7306-a2f3-48d855eeca8b"),
        shape=Shape.DEBIT_CREDIT,
        terms={"source": terms, "target": terms},
        done=done,
    )


def test_a_call_in_flight_is_not_unknown_yet() -> None:
    """It may have the answer in a moment; only one that has ended without is told, and resolved past an open breaker."""
    begun = advance(_course(), None, now=NOW, policy=POLICY)
    assert begun.call == "put"
    assert not begun.course.outcome_is_unknown
    refused = advance(begun.course, Finding(outcome="not_sent", code="breaker_open"), now=NOW, policy=POLICY)
    assert not refused.course.outcome_is_unknown
    silent = advance(begun.course, Finding(outcome="unknown", code="timeout"), now=NOW, policy=POLICY)
    assert silent.course.outcome_is_unknown


@pytest.mark.parametrize("repeats_safely", [True, False])
def test_a_refund_is_wanted_however_late_it_comes(*, repeats_safely: bool) -> None:
    """Also where it cannot be repeated: as long as nothing of it was sent, it has the whole day."""
    failed = (Done(kind=StepKind.DEBIT, applied=True), Done(kind=StepKind.CREDIT, applied=False))
    move = advance(_course(*failed, repeats_safely=repeats_safely), None, now=NOW, policy=POLICY)
    assert move.course.step is not None
    assert (move.course.step.kind, move.course.step.not_after) == (StepKind.REFUND, NOW + timedelta(hours=24))


def test_a_postponed_call_is_left_to_whoever_goes_on() -> None:
    """It is not made now, and nobody has to take it for one that may have arrived."""
    move = advance(_course(), None, now=NOW, policy=POLICY)
    assert move.is_made_now(NOW)
    postponed = postpone(move)
    assert (postponed.call, postponed.at, postponed.is_made_now(NOW)) == ("put", NOW, False)
    again = advance(postponed.course, None, now=NOW, policy=POLICY)
    assert again.course.step is not None
    assert [attempt.call for attempt in again.course.step.attempts] == ["put"]
