"""Bodies of crm-v1: the bytes and signatures that integrators already have code for, and numbers read exactly."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ewp.messages import MalformedAnswerError, TransferOrder
from wallet_gateway.protocols.crm_messages import (
    committed,
    is_success,
    page_parser,
    parse_skip,
    transfer_request,
    wallet_parser,
    wallets_request,
)
from wallet_gateway.protocols.endpoint import TransferCall

NO_DEADLINE = settings(deadline=None)  # the machine may be busy; time is not what these tests are about

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WALLET = b'{"id":"w1","external_user_id":"a1b2c3d4","amount":10.5,"currency":"USD","decimals":2}'
CALL = TransferCall(
    path="/wallets/move",
    method="POST",
    fields={
        "op": "operation",
        "owner_ref": "external_user_id",
        "amount": "sum",
        "currency": "currency",
        "reference": "note",
    },
    success_field="status",
    success_value="ok",
    credit_value="deposit",
    debit_value="withdraw",
)
ORDER = TransferOrder(
    transfer_id="tr_1.source.1",
    op="debit",
    mode="direct",
    wallet_id="w1",
    owner_ref="a1b2c3d4",
    amount=Decimal("10.5"),
    currency="USD",
    not_after=NOW,
)


def amount_of(number: bytes, *, decimals: int = 2) -> str:
    """Read one wallet with this number, and show its amount."""
    body = WALLET.replace(b"10.5", number).replace(b'"decimals":2', b'"decimals":%d' % decimals)
    body = body.replace(b"USD", {0: b"JPY", 2: b"USD", 3: b"BHD"}.get(decimals, b"COIN"))
    currency = orjson.loads(body.replace(number, b"0"))["currency"]
    parse = wallet_parser(wallet_id="w1", owner_ref="a1b2c3d4", currency=currency, as_of=NOW)
    return format(parse(body).available, "f")


def test_requests_are_signed_as_integrators_verify_them() -> None:
    """The two vectors of crm-compat.md; no owner means the field is left out."""
    body, signature = wallets_request(owner_refs=[], skip=0, limit=25, key="demo-key-1")
    assert orjson.loads(body) == {"skip": 0, "limit": 25}
    assert signature == "6C45EE117103BFD9D3E337C818AF25B4C3B86A18"
    body, signature = wallets_request(owner_refs=["a1b2c3d4", "e5f6a7b8"], skip=0, limit=25, key="demo-key-1")
    assert orjson.loads(body) == {"skip": 0, "limit": 25, "external_user_id": ["a1b2c3d4", "e5f6a7b8"]}
    assert signature == "7DE2C1734AA5638EDCCC6F04BF0E8BFB1FC27554"


@NO_DEADLINE
@given(st.integers(0, 10**18 - 1), st.sampled_from([0, 2, 3, 8]))
def test_numbers_are_read_exactly(unit: int, decimals: int) -> None:
    """Every digit, beyond what a float can hold, shown with the wallet's decimals."""
    text = format(Decimal(unit).scaleb(-decimals), f".{decimals}f")
    assert amount_of(text.encode(), decimals=decimals) == text


@pytest.mark.parametrize(
    ("number", "decimals", "shown"),
    [
        (b"0", 2, "0.00"),
        (b"0.0", 0, "0"),
        (b"100.0", 0, "100"),
        (b"100.10", 2, "100.10"),
        (b"100.100000", 2, "100.10"),
        (b"1e2", 2, "100.00"),
        (b"1.5E1", 3, "15.000"),
        (b"0.1", 8, "0.10000000"),
        (b"123456789012345678.01", 2, "123456789012345678.01"),
        (b"9007199254740993", 0, "9007199254740993"),
    ],
)
def test_a_number_is_shown_with_its_decimals(number: bytes, decimals: int, shown: str) -> None:
    """Zeros at its end are none of its value."""
    assert amount_of(number, decimals=decimals) == shown


@pytest.mark.parametrize(
    "number",
    [
        *(b"10.555", b"0.30000000000000004", b"1e400", b"1e-400", b"1e99999999999", b"-1", b"-0.01", b'"10.5"', b"NaN"),
        *(b"true", b"null", b"[]", b"1234567890123456789", b"9" * 5000, b"1." + b"0" * 5000),
    ],
)
def test_a_number_that_would_have_to_be_rounded_is_refused(number: bytes) -> None:
    """More decimals than the wallet has, out of range, negative, or no number."""
    with pytest.raises(MalformedAnswerError):
        amount_of(number)


def page(*wallets: bytes, count: object = 9) -> bytes:
    """Return an answer to the list call."""
    return b'{"data":[' + b",".join(wallets) + b'],"count":' + orjson.dumps(count) + b"}"


def read(body: bytes, **changes: Any) -> Any:
    """Read a page of at most two wallets, four skipped."""
    asked: dict[str, Any] = {"owner_refs": ["a1b2c3d4"], "currency": None, "skip": 4, "limit": 2, "as_of": NOW}
    return page_parser(**{**asked, **changes})(body)


def test_pages_lead_to_the_next() -> None:
    """The cursor counts what was skipped; it ends where ``count`` is reached or a page is empty."""
    first = read(page(WALLET, WALLET))
    assert (first.next_cursor, len(first.data)) == ("6", 2)
    assert (first.data[0].ledger, first.data[0].held, first.data[0].as_of) == (Decimal("10.50"), 0, NOW)
    assert parse_skip(first.next_cursor) == 6
    assert read(page(WALLET, count=5)).next_cursor is None
    assert read(page(count=9)).next_cursor is None
    assert parse_skip(None) == 0
    euro = WALLET.replace(b"USD", b"EUR").replace(b'"w1"', b"17")
    chosen = read(page(WALLET, euro), currency="EUR")
    assert [wallet.wallet_id for wallet in chosen.data] == ["17"]


@pytest.mark.parametrize("cursor", ["", "-1", "1.5", "x", "\u0661", "99999999999"])
def test_a_cursor_is_one_of_ours(cursor: str) -> None:
    """Nothing else is sent on."""
    with pytest.raises(ValueError, match="cursor"):
        parse_skip(cursor)


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"[]",
            b"<html>",
            b'{"data":[]}',
            b'{"data":{},"count":1}',
            page(WALLET, count="9"),
            page(WALLET, count=True),
        ),
        page(WALLET, WALLET, WALLET),
        page(b"1"),
        page(WALLET.replace(b"a1b2c3d4", b"e5f6a7b8")),
        *(page(WALLET.replace(old, new)) for old, new in [(b"USD", b"usd"), (b'"USD"', b"840"), (b'"w1"', b'""')]),
        *(
            page(WALLET.replace(b'"decimals":2', b'"decimals":' + text))
            for text in (b'"2"', b"-1", b"9", b"true", b"3", b"2.0")
        ),
        page(WALLET.replace(b'"decimals":2', b'"decimals":2,"decimals":2')),
        page(WALLET.replace(b'"id":"w1",', b"")),
    ],
)
def test_what_is_no_page_is_refused(body: bytes) -> None:
    """Also more than was asked for, and another owner's wallet."""
    with pytest.raises(MalformedAnswerError):
        read(body)


def test_another_wallet_than_the_one_asked_for_is_refused() -> None:
    """By id, owner and currency."""
    for wrong in ({"wallet_id": "w2"}, {"owner_ref": "e5f6a7b8"}, {"currency": "EUR"}):
        asked = {"wallet_id": "w1", "owner_ref": "a1b2c3d4", "currency": "USD", **wrong}
        with pytest.raises(MalformedAnswerError):
            wallet_parser(**asked, as_of=NOW)(WALLET)


def test_the_write_call_is_made_as_it_was_described() -> None:
    """Their names, their words for the direction, the amount with all its decimals, empty fields left out."""
    body, signature = transfer_request(CALL, ORDER, key="K3Y")
    assert body == b'{"operation":"withdraw","external_user_id":"a1b2c3d4","sum":"10.50","currency":"USD"}'
    as_number = TransferCall(**{**{name: getattr(CALL, name) for name in CALL.__slots__}, "amount_as": "number"})
    numbered, same = transfer_request(as_number, ORDER.model_copy(update={"reference": "x"}), key="K3Y")
    assert b'"sum":10.50' in numbered
    assert b'"note":"x"' in numbered
    assert len(signature) == len(same) == 40


@pytest.mark.parametrize(
    ("body", "success"),
    [
        (b'{"status":"ok"}', True),
        (b'{"status":"ok","id":7}', True),
        *((body, False) for body in (b"", b"ok", b"[]", b'{"status":"OK"}', b'{"status":true}', b'{"repeat":true}')),
        *((body, False) for body in (b'{"status":"ok"', b'{"status":"ok","status":"ok"}', b"<html>ok</html>")),
    ],
)
def test_only_what_was_described_is_a_success(body: bytes, success: bool) -> None:  # noqa: FBT001 - a column of the table
    """To the letter and the type."""
    assert is_success(CALL, body) is success


def test_true_is_not_one() -> None:
    """A described ``true`` is not met by ``1``, nor the other way round."""
    values: list[tuple[bool | int, bytes]] = [(True, b"1"), (1, b"true"), (1, b"1.0"), (1, b'"1"')]
    for described, body in values:
        call = TransferCall(path="/m", method="PUT", fields={}, success_field="ok", success_value=described)
        assert not is_success(call, b'{"ok":' + body + b"}")
        assert is_success(call, b'{"ok":' + orjson.dumps(described) + b"}")


def test_a_success_stands_for_a_commit() -> None:
    """The answer that the older interface does not give."""
    answer = committed(ORDER)
    assert (answer.state, answer.op, answer.amount, answer.seq) == ("committed", "debit", Decimal("10.50"), 0)
