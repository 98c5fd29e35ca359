"""Numbers of ewp/1 have bounds: none is larger than what has to keep it."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from shared.ewp import messages
from shared.ewp.messages import MalformedAnswerError

KNOWN: Final[dict[str, Any]] = {"versions": ["ewp/1"], "currencies": [], "holds": True, "feed": True}
ANSWER: Final[dict[str, Any]] = {
    "transfer_id": "tr_1.source.1",
    "state": "held",
    "op": "debit",
    "amount": "10.50",
    "currency": "USD",
    "seq": 7,
}
BALANCE: Final[dict[str, Any]] = {
    "wallet_id": "w1",
    "owner_ref": "a1b2c3d4",
    "currency": "OWN",
    "scale": 2,
    "ledger": "10.50",
    "available": "10.00",
    "held": "0.50",
    "as_of": "2026-01-01T00:00:00Z",
    "version": 3,
}
LARGEST: Final = 2**63 - 1


def test_a_retention_has_an_end() -> None:
    """Whatever stands for "for ever" in 32 bits is taken."""
    longest = json.dumps({**KNOWN, "retention_days": 2**31 - 1}).encode()
    assert messages.parse_well_known(longest).retention_days == messages.RETENTION_DAYS_MAX == 2**31 - 1
    for beyond in (2**31, 2**63, 2**64, 10**20, -1):
        with pytest.raises(MalformedAnswerError) as refused:
            messages.parse_well_known(json.dumps({**KNOWN, "retention_days": beyond}).encode())
        assert refused.value.pointer == "/retention_days"


@pytest.mark.parametrize(
    ("parse", "document", "field", "largest"),
    [
        (messages.parse_feed_page, {"data": []}, "latest_seq", LARGEST),
        (messages.parse_transfer_answer, ANSWER, "seq", LARGEST),
        (messages.parse_balance, BALANCE, "version", LARGEST),
        (messages.parse_balance, BALANCE, "scale", 8),
        (messages.parse_balance_query, {"owner_refs": []}, "limit", messages.PAGE_ITEMS_MAX),
    ],
)
def test_no_number_is_larger_than_what_keeps_it(
    parse: Callable[[bytes], Any], document: dict[str, Any], field: str, largest: int
) -> None:
    """A database's and a JSON writer's integers end at 64 bits."""
    assert getattr(parse(json.dumps({**document, field: largest}).encode()), field) == largest
    for beyond in (largest + 1, 2**64, 10**20):
        with pytest.raises(messages.MalformedMessageError):
            parse(json.dumps({**document, field: beyond}).encode())
