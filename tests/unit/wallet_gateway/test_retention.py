"""Nothing is asked of a wallet about an id that it may have forgotten."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from shared import typeids
from shared.ewp.messages import BalancePage, WellKnown
from wallet_gateway.external_wallets.connection_checks import Observed, judge
from wallet_gateway.protocols.results import CallRecord, Read
from wallet_gateway.transfers.course import Course, Terms, advance
from wallet_gateway.transfers.plan import Done, Shape, StepKind
from wallet_gateway.transfers.resolution import Attempt, Finding, Mode, Policy, Step

BEGUN: Final = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
POLICY: Final = Policy(jitter=lambda: 0.5)
SECOND: Final = timedelta(seconds=1)


def _course(*, retention: timedelta | None, mode: Mode = Mode.FENCE, kind: StepKind = StepKind.CREDIT) -> Course:
    """Return a course whose step was sent once, with an unknown outcome."""
    terms = Terms(repeats_safely=True, step_seconds=60, retention=retention)
    step = Step(
        kind=kind,
        mode=mode,
        begun_at=BEGUN,
        not_after=BEGUN + timedelta(seconds=60),
        attempts=(Attempt("put", "unknown"),),
    )
    done = (Done(kind=StepKind.DEBIT, applied=True),)
    return Course(
        transfer_id=typeids.new_id(),
        shape=Shape.DEBIT_CREDIT,
        terms={"source": terms, "target": terms},
        done=done,
        step=step,
    )


@pytest.mark.parametrize("finding", [None, Finding(outcome="unknown"), Finding(outcome="not_found")])
@pytest.mark.parametrize(("mode", "kind"), [(Mode.FENCE, StepKind.CREDIT), (Mode.PERSIST, StepKind.REFUND)])
def test_a_person_decides_before_the_wallet_may_have_forgotten(
    mode: Mode, kind: StepKind, finding: Finding | None
) -> None:
    """Half of what it knows beyond the margin, since an id may serve two steps; until then it goes on."""
    course = _course(retention=timedelta(days=2), mode=mode, kind=kind)
    bound = BEGUN + timedelta(hours=12)
    before = advance(course, finding, now=bound - SECOND, policy=POLICY)
    assert before.end is None
    after = advance(course, finding, now=bound, policy=POLICY)
    assert after.end is not None
    assert (after.end.status, after.end.failure and after.end.failure.code) == ("manual_review", "outcome_unknown")


@pytest.mark.parametrize("retention", [None, timedelta(days=3650)])
def test_a_wallet_that_forgets_nothing_is_asked_as_long_as_ever(retention: timedelta | None) -> None:
    """The day after which a person decides stays the bound."""
    move = advance(_course(retention=retention), None, now=BEGUN + timedelta(hours=23), policy=POLICY)
    assert move.end is None


@pytest.mark.parametrize(("days", "status"), [(2, "failed"), (3, "ok")])
def test_a_connection_test_says_when_ids_are_known_too_short(days: int, status: str) -> None:
    """The line of capabilities, with the code that transfers are refused with."""
    call = CallRecord(started_at=BEGUN, duration_ms=1.0, response_status=200, request_digest=None, response_digest=None)
    known = WellKnown(versions=["ewp/1"], currencies=[], holds=True, retention_days=days, feed=True)
    page = Read(value=BalancePage(data=[], next_cursor=None), call=call)
    checks = judge(
        Observed(
            protocol="ewp/1",
            is_plain_http=False,
            well_known=Read(value=known, call=call),
            signed=page,
            forged=page,
            review_after=timedelta(days=1),
        )
    )
    assert checks[-1].name == "capabilities"
    assert (checks[-1].status, checks[-1].code) == (status, None if status == "ok" else "wallet_retention_too_short")
