"""The order of steps: every way through a transfer, and that nothing is credited before the debit is certain."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import typeids
from wallet_gateway.transfers.plan import (
    Begin,
    Done,
    End,
    Failure,
    Shape,
    Source,
    StepKind,
    follow,
    forward,
    order_id,
    shape_of,
    step_id,
)

WHY = Failure(code="insufficient_funds", detail="no")


def _walk(shape: Shape, outcomes: str, *, hold_ends: bool = False) -> tuple[list[str], End]:
    """Go through a transfer; ``outcomes`` has a letter for each step: + it was applied, - it was not."""
    done: list[Done] = []
    for outcome in outcomes:
        move = follow(shape, done)
        assert isinstance(move, Begin)
        applied = outcome == "+"
        done.append(
            Done(kind=move.kind, applied=applied, failure=None if applied else WHY, hold_ends=hold_ends and applied)
        )
    end = follow(shape, done)
    assert isinstance(end, End)
    return [step.kind.value for step in done], end


HCC, HCX, DC = Shape.HOLD_CREDIT_COMMIT, Shape.HOLD_COMMIT_CREDIT, Shape.DEBIT_CREDIT


@pytest.mark.parametrize(
    ("shape", "outcomes", "steps", "status"),
    [
        (HCC, "-", "hold", "failed"),
        (HCC, "+++", "hold credit commit", "completed"),
        (HCC, "+-+", "hold credit release", "failed"),
        (HCC, "+--", "hold credit release", "manual_review"),
        (HCC, "++-", "hold credit commit", "manual_review"),
        (HCX, "-", "hold", "failed"),
        (HCX, "+-", "hold commit", "failed"),
        (HCX, "+++", "hold commit credit", "completed"),
        (HCX, "++-+", "hold commit credit refund", "reversed"),
        (HCX, "++--", "hold commit credit refund", "manual_review"),
        (DC, "-", "debit", "failed"),
        (DC, "++", "debit credit", "completed"),
        (DC, "+-+", "debit credit refund", "reversed"),
        (DC, "+--", "debit credit refund", "manual_review"),
    ],
)
def test_every_way_through_a_transfer(shape: Shape, outcomes: str, steps: str, status: str) -> None:
    """Fourteen ways; there are no others."""
    kinds, end = _walk(shape, outcomes)
    assert (" ".join(kinds), end.status) == (steps, status)
    if status in {"failed", "reversed"}:
        assert end.failure == WHY


@pytest.mark.parametrize(
    ("outcomes", "steps", "status"),
    [
        ("+++", "hold commit credit", "completed"),
        ("+-", "hold commit", "failed"),
        ("++-+", "hold commit credit refund", "reversed"),
    ],
)
def test_a_hold_that_will_end_is_committed_before_anything_is_credited(outcomes: str, steps: str, status: str) -> None:
    """Also at home, which had said that its holds do not end."""
    kinds, end = _walk(HCC, outcomes, hold_ends=True)
    assert (" ".join(kinds), end.status) == (steps, status)


@pytest.mark.parametrize(
    ("is_home", "holds", "holds_expire", "shape"),
    [
        (True, True, False, HCC),
        (True, True, True, DC),
        (True, False, False, DC),
        (True, False, True, DC),
        (False, True, False, HCX),
        (False, True, True, HCX),
        (False, False, False, DC),
        (False, False, True, DC),
    ],
)
def test_the_source_says_which_order(shape: Shape, *, is_home: bool, holds: bool, holds_expire: bool) -> None:
    """Home alone keeps an amount reserved while the target is asked, and only by holds that do not end."""
    assert shape_of(Source(is_home=is_home, holds=holds, holds_expire=holds_expire)) is shape


@given(shape=st.sampled_from(list(Shape)), outcomes=st.lists(st.booleans(), max_size=6), hold_ends=st.booleans())
def test_nothing_is_credited_before_the_debit_is_certain(
    shape: Shape, outcomes: list[bool], *, hold_ends: bool
) -> None:
    """Made, or guaranteed by a hold that cannot end by itself; and every transfer ends after at most four steps."""
    done: list[Done] = []
    for applied in outcomes:
        move = follow(shape, done)
        if isinstance(move, End):
            break
        if move.kind is StepKind.CREDIT:
            taken = any(step.kind in {StepKind.DEBIT, StepKind.COMMIT} and step.applied for step in done)
            held = any(step.kind is StepKind.HOLD and step.applied and not step.hold_ends for step in done)
            assert taken or held
        done.append(Done(kind=move.kind, applied=applied, hold_ends=hold_ends))
    assert len(done) <= 4
    assert len({step.kind for step in done}) == len(done)


def test_ids_name_transfer_leg_and_number() -> None:
    """Each step has its own; a hold's end is known to the wallet under the hold's."""
    transfer = typeids.new_id()
    text = typeids.encode("tr", transfer)
    assert [step_id(transfer, kind) for kind in forward(HCC)] == [
        f"{text}.debit.1",
        f"{text}.credit.1",
        f"{text}.debit.2",
    ]
    assert step_id(transfer, StepKind.REFUND) == f"{text}.refund.1"
    for kind in (StepKind.COMMIT, StepKind.RELEASE):
        assert order_id(transfer, kind) == f"{text}.debit.1"
    together = list(product(StepKind, repeat=2))
    assert all(
        order_id(transfer, first) != order_id(transfer, second)
        for first, second in together
        if {first, second} in ({StepKind.CREDIT, StepKind.REFUND}, {StepKind.HOLD, StepKind.CREDIT})
    )
