"""What a page of a feed proves, and what differs between two records of one order: as tables, and whatever comes."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import typeids
from shared.ewp.messages import FeedPage, State, TransferAnswer
from wallet_gateway.reconciliation.comparison import OurOrder, OurStep, TheirOrder, compare, expected_of
from wallet_gateway.reconciliation.feed import Fresh, Gap, Position, Regressed, judge
from wallet_gateway.reconciliation.step_ids import order_id_of, parse_order_id
from wallet_gateway.transfers.course import Decision
from wallet_gateway.transfers.plan import Leg, StepKind

TRANSFER = UUID("0198c0de-0000-7000-8000-000000000001")
H, C, R, D, F = StepKind.HOLD, StepKind.COMMIT, StepKind.RELEASE, StepKind.DEBIT, StepKind.REFUND


def _entry(seq: int, *, name: str | None = None, state: State = "committed") -> TransferAnswer:
    fields: dict[str, Any] = {"op": "credit", "amount": Decimal(1), "currency": "USD"}
    return TransferAnswer(transfer_id=name or f"t-{seq}", state=state, seq=seq, **fields)


def _page(seqs: list[int], latest: int, **first: Any) -> FeedPage:
    entries = [_entry(seq, **(first if index == 0 else {})) for index, seq in enumerate(seqs)]
    return FeedPage(data=entries, latest_seq=latest)


AT_5 = Position(seq=5, step_id="t-5", state="committed")


@pytest.mark.parametrize(
    ("position", "page", "outcome"),
    [
        (Position(), _page([], 0), Fresh),
        (Position(), _page([1, 2], 2), Fresh),
        (Position(), _page([7, 8], 8), Fresh),  # what is older was forgotten
        (Position(), _page([], 3), Gap),
        (Position(), _page([1, 3], 3), Gap),
        (Position(), _page([1, 2], 1), Gap),
        (AT_5, _page([5], 5), Fresh),
        (AT_5, _page([5, 6, 7], 9), Fresh),
        (AT_5, _page([5, 7], 7), Gap),
        (AT_5, _page([6, 7], 7), Gap),
        (AT_5, _page([], 5), Gap),
        (AT_5, _page([5], 6), Gap),
        (AT_5, _page([], 4), Regressed),
        (AT_5, _page([], 0), Regressed),
        (AT_5, _page([5, 6], 6, name="another"), Regressed),
        (AT_5, _page([5, 6], 6, state="held"), Regressed),
    ],
)
def test_what_a_page_proves(position: Position, page: FeedPage, outcome: type) -> None:
    """It follows without a gap, or it proves nothing, or the wallet's past is not what it was."""
    assert isinstance(judge(page, position), outcome)


def test_a_position_asks_for_the_last_known_entry_once_more() -> None:
    """And stands on the newest after a page."""
    assert (Position().after_seq, AT_5.after_seq) == (0, 4)
    judged = judge(_page([5, 6, 7], 9), AT_5)
    assert isinstance(judged, Fresh)
    assert ([entry.seq for entry in judged.entries], judged.is_last) == ([6, 7], False)
    assert (judged.position.seq, judged.position.step_id) == (7, "t-7")


@given(st.integers(0, 30), st.integers(1, 10))
def test_a_feed_read_in_pages_brings_every_entry_once(length: int, limit: int) -> None:
    """However long it is, and however short the pages."""
    feed = [_entry(seq) for seq in range(1, length + 1)]
    position, read = Position(), list[int]()
    for _ in range(length + 2):
        data = feed[position.after_seq : position.after_seq + limit + 1]
        judged = judge(FeedPage(data=data, latest_seq=length), position)
        assert isinstance(judged, Fresh)
        read += [entry.seq for entry in judged.entries]
        position = judged.position
        if judged.is_last:
            break
    assert read == list(range(1, length + 1))


def _ours(*steps: tuple[StepKind, bool | None], leg: Leg = "debit", decision: Decision | None = None) -> OurOrder:
    return OurOrder(
        transfer_id=TRANSFER,
        leg=leg,
        amount=Decimal("10.00"),
        currency="USD",
        steps=[OurStep(kind=kind, applied=applied) for kind, applied in steps],
        ended_at=datetime.now(UTC),
        decision=decision,
    )


def _theirs(state: str, **changes: Any) -> TheirOrder:
    fields = {"op": "debit", "amount": Decimal("10.00"), "currency": "USD", "wallet_txn_id": "w1", **changes}
    return TheirOrder(step_id=order_id_of(TRANSFER, "debit"), state=state, **fields)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(H, True)], "held"),
        ([(H, False)], "nothing"),
        ([(H, True), (C, True)], "committed"),
        ([(H, True), (C, False)], "nothing"),
        ([(H, True), (R, True)], "nothing"),
        ([(H, True), (R, False)], "committed"),
        ([(D, True)], "committed"),
        ([(D, False)], "nothing"),
    ],
)
def test_what_an_order_must_be_at_the_wallet(steps: list[tuple[StepKind, bool | None]], expected: str) -> None:
    """Its last step decides."""
    assert expected_of(_ours(*steps)) == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        (_ours((D, True)), _theirs("committed"), None),
        (_ours((D, True)), None, "missing_at_wallet"),
        (_ours((D, True)), _theirs("held"), "state_differs"),
        (_ours((D, True)), _theirs("rejected"), "state_differs"),
        (_ours((D, True)), _theirs("committed", amount=Decimal("10.01")), "amount_differs"),
        (_ours((D, True)), _theirs("committed", amount=Decimal(10)), None),
        (_ours((D, True)), _theirs("committed", currency="EUR"), "amount_differs"),
        (_ours((D, True)), _theirs("committed", op="credit"), "amount_differs"),
        (_ours((D, False)), None, None),
        (_ours((D, False)), _theirs("rejected"), None),
        (_ours((D, False)), _theirs("cancelled", op=None, amount=None, currency=None), None),
        (_ours((D, False)), _theirs("committed"), "state_differs"),
        (_ours((H, True)), _theirs("held"), None),
        (_ours((H, True)), None, "missing_at_wallet"),
        (_ours((H, True), decision="failed"), _theirs("cancelled"), None),
        (_ours((H, True), decision="failed"), None, None),
        (_ours((D, True), decision="failed"), _theirs("cancelled"), "state_differs"),
    ],
)
def test_what_differs(ours: OurOrder, theirs: TheirOrder | None, kind: str | None) -> None:
    """State before amount; a tombstone has no amount that could differ; what a person put right by hand is theirs to know."""
    found = compare(ours, theirs)
    assert (found.kind if found else None) == kind
    if found is not None:
        assert (found.step_id, found.ours is not None) == (order_id_of(TRANSFER, "debit"), True)


@pytest.mark.parametrize(
    ("steps", "leg", "decision", "state", "differs"),
    [
        ([(D, None)], "debit", "completed", "committed", False),
        ([(D, None)], "debit", "completed", None, True),
        ([(D, None)], "debit", "completed", "cancelled", True),
        ([(D, None)], "debit", "failed", None, False),
        ([(D, None)], "debit", "failed", "rejected", False),
        ([(D, None)], "debit", "failed", "committed", True),
        ([(H, None)], "debit", "failed", "held", True),
        ([(H, True), (C, None)], "debit", "completed", "held", True),
        ([(H, True), (C, None)], "debit", "completed", "committed", False),
        ([(H, True), (R, None)], "debit", "failed", "cancelled", False),
        ([(H, True), (R, None)], "debit", "failed", "committed", True),
        ([(H, True)], "debit", "failed", "held", True),
        ([(H, True)], "debit", "completed", "cancelled", True),
        ([(F, None)], "refund", "failed", "committed", False),
        ([(F, None)], "refund", "failed", None, True),
        ([(F, None)], "refund", "completed", "committed", True),
        ([(F, None)], "refund", "completed", None, False),
    ],
)
def test_a_decision_is_held_against_the_wallet(
    steps: list[tuple[StepKind, bool | None]], leg: Leg, decision: Decision, state: str | None, *, differs: bool
) -> None:
    """Completed: debited, and nothing given back. Failed: nothing moved, or what was taken was given back."""
    ours = _ours(*steps, leg=leg, decision=decision)
    assert ours.is_certain
    theirs = None if state is None else _theirs(state, op=ours.op)
    assert (compare(ours, theirs) is not None) == differs


@given(st.uuids(), st.sampled_from(["debit", "credit", "refund"]))
def test_ids_of_orders_are_read_back(transfer_id: Any, leg: Leg) -> None:
    """Whatever transfer and leg."""
    assert parse_order_id(order_id_of(transfer_id, leg)) == (transfer_id, leg)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tr_x.debit.1",
        "theirs",
        f"{typeids.encode('tr', TRANSFER)}.debit.2",
        f"{typeids.encode('ew', TRANSFER)}.debit.1",
        f"{typeids.encode('tr', TRANSFER)}.debit.1\n",
        f"tr_{'z' * 26}.debit.1",
        f"tr_{'u' * 26}.credit.1",
    ],
)
def test_other_ids_are_not_ours(text: str) -> None:
    """A wallet may name its own transactions as it likes."""
    assert parse_order_id(text) is None
