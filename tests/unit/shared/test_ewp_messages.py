"""Bodies of ewp/1, read strictly."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ewp import messages
from shared.ewp.fields import parse_time
from shared.ewp.messages import MalformedAnswerError, MalformedRequestError, TransferAnswer, TransferOrder

NO_DEADLINE = settings(deadline=None)  # the machine may be busy; time is not what these tests are about

ORDER: dict[str, Any] = {
    "op": "debit",
    "mode": "hold",
    "wallet_id": "w1",
    "owner_ref": "a1b2c3d4",
    "amount": "10.50",
    "currency": "USD",
    "not_after": "2026-01-01T00:01:00.000Z",
}
ANSWER: dict[str, Any] = {
    "transfer_id": "tr_1.source.1",
    "state": "held",
    "op": "debit",
    "amount": "10.50",
    "currency": "USD",
    "seq": 7,
}
TOMBSTONE: dict[str, Any] = {**ANSWER, "state": "cancelled", "op": None, "amount": None, "currency": None}
REJECTION: dict[str, Any] = {**ANSWER, "state": "rejected", "error": {"code": "insufficient_funds", "detail": ""}}
BALANCE: dict[str, Any] = {
    "wallet_id": "w1",
    "owner_ref": "a1b2c3d4",
    "currency": "USD",
    "scale": 2,
    "ledger": "10.50",
    "available": "10",
    "held": "0.50",
    "as_of": "2026-01-01T00:00:00+02:00",
    "version": 3,
}
AMOUNTS_NOT_TEXT = [
    b"10.5",
    b"10",
    b"1e400",
    b"NaN",
    b"-1",
    b"true",
    b"null",
    b"[]",
    b'"10.505"',
    b'"1e1"',
    b'" 1"',
    b'"-1"',
]


def _answer(**changes: Any) -> bytes:
    return orjson.dumps({**ANSWER, **changes})


def test_answers_of_every_state_are_read() -> None:
    """Held, committed, rejected with its reason, cancelled with and without having been seen."""
    held = messages.parse_transfer_answer(_answer(hold_expires_at="2026-01-01T00:00:00.123456789Z", balance_after="1"))
    assert (held.amount, held.balance_after) == (Decimal("10.50"), Decimal(1))
    assert held.hold_expires_at == datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)
    assert messages.parse_transfer_answer(_answer(state="committed", error=None)).state == "committed"
    rejected = messages.parse_transfer_answer(orjson.dumps(REJECTION))
    assert rejected.error is not None
    assert rejected.error.code == "insufficient_funds"
    assert messages.parse_transfer_answer(orjson.dumps(TOMBSTONE)).is_tombstone
    assert not messages.parse_transfer_answer(_answer(state="cancelled")).is_tombstone


def test_fields_beyond_the_protocol_are_passed_over_in_answers_and_refused_in_orders() -> None:
    """A later minor version may say more; what it asks for beyond the protocol would not be done."""
    assert messages.parse_transfer_answer(_answer(later="field")).seq == 7
    with pytest.raises(MalformedRequestError) as refused:
        messages.parse_order("tr_1.source.1", orjson.dumps({**ORDER, "later": "field"}))
    assert refused.value.pointer == "/later"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<html>",
        b'{"repeat":true}',
        b"[]",
        b'"held"',
        b"null",
        _answer()[:-1],
        _answer() + b"x",
        _answer().replace(b'"seq":7', b'"seq":7,"seq":7'),
        _answer().replace(b'"seq":7', b'"seq":7.0'),
        _answer().replace(b'"seq":7', b'"seq":"7"'),
        _answer().replace(b'"seq":7', b'"seq":true'),
        _answer().replace(b'"seq":7', b'"seq":-1'),
        _answer().replace(b'"seq":7', b'"seq":9223372036854775808'),
        _answer().replace(b'"seq":7', b'"x":' + b"[" * 100_000),
        _answer().replace(b'"seq":7', b'"seq":7,"x":' + b"[" * 65 + b"]" * 65),
        _answer(state="done"),
        _answer(state="held", error={"code": "expired", "detail": ""}),
        _answer(op=None),
        _answer(amount=None),
        _answer(op=None, amount=None, currency=None),
        _answer(currency="XAU"),
        _answer(currency="JPY"),
        _answer(currency="usd"),
        _answer(balance_after="1.005"),
        _answer(hold_expires_at="2026-01-01T00:00:00"),
        _answer(hold_expires_at="2026-01-01"),
        _answer(hold_expires_at=1_800_000_000),
        _answer(hold_expires_at="0001-01-01T00:00:00+23:00"),
        _answer(transfer_id=""),
        _answer(transfer_id=7),
        _answer(state="rejected"),
        orjson.dumps({**REJECTION, "error": {"code": "already_done", "detail": ""}}),
        orjson.dumps({**REJECTION, "op": None, "amount": None, "currency": None}),
        orjson.dumps({**TOMBSTONE, "state": "committed"}),
        orjson.dumps({**TOMBSTONE, "amount": "10.50"}),
        orjson.dumps({**TOMBSTONE, "op": "debit"}),
        *(orjson.dumps({name: value for name, value in ANSWER.items() if name != missing}) for missing in ANSWER),
        b"\xff" + _answer(),
        _answer(wallet_txn_id="\x00"),
    ],
)
def test_what_is_no_answer_proves_nothing(body: bytes) -> None:
    """Broken, doubled, deep, incomplete, contradicting itself, or saying what the protocol does not know."""
    with pytest.raises(MalformedAnswerError):
        messages.parse_transfer_answer(body)


@pytest.mark.parametrize("amount", AMOUNTS_NOT_TEXT)
def test_an_amount_that_is_no_text_of_its_form_is_refused(amount: bytes) -> None:
    """In answers, in orders and in balances."""
    written = b'"amount":"10.50"'
    with pytest.raises(MalformedAnswerError):
        messages.parse_transfer_answer(_answer().replace(written, b'"amount":' + amount))
    with pytest.raises(MalformedRequestError):
        messages.parse_order("tr_1.source.1", orjson.dumps(ORDER).replace(written, b'"amount":' + amount))
    with pytest.raises(MalformedAnswerError):
        messages.parse_balance(orjson.dumps(BALANCE).replace(b'"ledger":"10.50"', b'"ledger":' + amount))


@pytest.mark.parametrize(
    "changes",
    [
        {"op": "move"},
        {"mode": "later"},
        {"amount": "0"},
        {"amount": "0.00"},
        {"amount": "1.005"},
        {"currency": "JPY", "amount": "1.0"},
        {"currency": "BTC"},
        {"wallet_id": ""},
        {"wallet_id": "x" * 129},
        {"owner_ref": "a\nb"},
        {"not_after": "tomorrow"},
        {"not_after": "2026-01-01T00:00:00.000"},
        {"not_after": "2026-13-01T00:00:00Z"},
        {"not_after": "2026-01-01 00:00:00Z"},
        {"not_after": "2026-01-01T00:00:00.1234567890Z"},
        {"reference": "x" * 257},
        {"transfer_id": "tr_1.source.1"},
    ],
)
def test_what_is_no_order_is_refused(changes: dict[str, Any]) -> None:
    """Each with a pointer, and without the value in the text."""
    with pytest.raises(MalformedRequestError):
        messages.parse_order("tr_1.source.1", orjson.dumps({**ORDER, **changes}))


def test_a_time_of_our_own_without_a_zone_is_none() -> None:
    """It would be read as this machine's local time."""
    with pytest.raises(ValueError, match="with a zone"):
        parse_time(datetime.now(UTC).replace(tzinfo=None))


@pytest.mark.parametrize("transfer_id", ["", ".", "..", "a/b", "a b", "a%2fb", "x" * 129, "\u00e4", "a\n"])
def test_an_id_that_cannot_stand_in_a_path_is_refused(transfer_id: str) -> None:
    """An id is part of the path as it is."""
    with pytest.raises(MalformedRequestError):
        messages.parse_order(transfer_id, orjson.dumps(ORDER))


def test_a_refusal_never_quotes_what_was_sent() -> None:
    """Not the value, wherever it stood."""
    with pytest.raises(MalformedRequestError) as refused:
        messages.parse_order("tr_1.source.1", orjson.dumps({**ORDER, "amount": "a secret", "op": "a secret"}))
    assert "secret" not in f"{refused.value!r}"


orders = st.builds(
    TransferOrder,
    transfer_id=st.from_regex(r"\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,60}\Z"),
    op=st.sampled_from(["credit", "debit"]),
    mode=st.sampled_from(["hold", "direct"]),
    wallet_id=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40),
    owner_ref=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40),
    amount=st.integers(min_value=1, max_value=10**18 - 1).map(Decimal),
    currency=st.sampled_from(["USD", "JPY", "BHD", "CLF"]),
    not_after=st.integers(min_value=0, max_value=7 * 10**12).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC)),
    reference=st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
)


@NO_DEADLINE
@given(orders)
def test_an_order_is_read_as_it_was_written(order: TransferOrder) -> None:
    """The same bytes each time, and from them the same order."""
    assert order.to_json() == order.to_json()
    assert messages.parse_order(order.transfer_id, order.to_json()) == order


@NO_DEADLINE
@given(orders, st.integers(min_value=0, max_value=2**63 - 1))
def test_an_answer_is_read_as_it_was_written(order: TransferOrder, seq: int) -> None:
    """Amounts at their scale, times to the millisecond."""
    answer = TransferAnswer(
        transfer_id=order.transfer_id,
        state="held",
        op=order.op,
        amount=order.amount,
        currency=order.currency,
        hold_expires_at=order.not_after,
        seq=seq,
    )
    assert messages.parse_transfer_answer(answer.to_json()) == answer


def test_balances_are_at_their_scale() -> None:
    """The scale of ISO 4217 where there is one, else the wallet's own."""
    balance = messages.parse_balance(orjson.dumps(BALANCE))
    assert [str(amount) for amount in (balance.ledger, balance.available, balance.held)] == ["10.50", "10.00", "0.50"]
    assert balance.as_of == datetime(2025, 12, 31, 22, 0, tzinfo=UTC)
    coin = messages.parse_balance(orjson.dumps({**BALANCE, "currency": "USDT", "scale": 6, "ledger": "1.000001"}))
    assert str(coin.available) == "10.000000"
    for changes in (
        {"scale": 3},
        {"scale": 9, "currency": "USDT"},
        {"ledger": "1.001"},
        {"currency": "us"},
        {"version": "3"},
    ):
        with pytest.raises(MalformedAnswerError):
            messages.parse_balance(orjson.dumps({**BALANCE, **changes}))


def test_pages_are_bounded() -> None:
    """No page has more than 200 entries, whatever was asked for."""
    full = {"data": [BALANCE] * 200, "next_cursor": None}
    assert len(messages.parse_balance_page(orjson.dumps(full)).data) == 200
    with pytest.raises(MalformedAnswerError):
        messages.parse_balance_page(orjson.dumps({**full, "data": [BALANCE] * 201}))
    with pytest.raises(MalformedAnswerError):
        messages.parse_balance_page(orjson.dumps({"data": [BALANCE]}))
    assert messages.parse_feed_page(orjson.dumps({"data": [ANSWER, TOMBSTONE], "latest_seq": 8})).latest_seq == 8
    with pytest.raises(MalformedAnswerError):
        messages.parse_feed_page(orjson.dumps({"data": [ANSWER] * 201, "latest_seq": 8}))


def test_a_system_of_another_protocol_is_refused() -> None:
    """The well-known document names ewp/1, or the system is none of ours."""
    known = {"versions": ["ewp/1"], "currencies": [{"code": "USD", "scale": 2}], "holds": True, "retention_days": 9}
    document = messages.parse_well_known(orjson.dumps({**known, "feed": True}))
    assert (document.holds_expire, document.public_keys) == (False, [])
    with pytest.raises(MalformedAnswerError):
        messages.parse_well_known(orjson.dumps({**known, "feed": True, "versions": ["ewp/2"]}))
    with pytest.raises(MalformedAnswerError):
        messages.parse_well_known(orjson.dumps({**known, "feed": 1}))


def test_queries_are_bounded() -> None:
    """At most 200 owners and 200 wallets; the default limit is 50."""
    assert messages.parse_balance_query(b'{"owner_refs":["a"]}').limit == 50
    for body in (
        {"owner_refs": ["a"] * 201},
        {"owner_refs": [], "limit": 201},
        {"owner_refs": [], "limit": 0},
        {"limit": 5},
    ):
        with pytest.raises(MalformedRequestError):
            messages.parse_balance_query(orjson.dumps(body))
