"""The table of wallet-protocol.md: what each answer to a step proves."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.egress import (
    AddressBlocked,
    ConnectFailed,
    ConnectTimeout,
    DeadlineExceeded,
    DestinationRefused,
    EgressClosed,
    EgressError,
    NameNotResolved,
    RequestRefused,
    ResponseBroken,
    ResponseMalformed,
    TlsFailed,
)
from shared.ewp.messages import MalformedAnswerError, TransferOrder
from wallet_gateway.protocols.classification import Action, classify_read, classify_step
from wallet_gateway.protocols.results import (
    CallRecord,
    Definitive,
    EchoMismatch,
    NotFound,
    NotSent,
    ReadFailed,
    StepResult,
    Unknown,
)
from wallet_gateway.protocols.transport import Exchange

NO_DEADLINE = settings(deadline=None)  # the machine may be busy; time is not what these tests are about

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALL = CallRecord(started_at=NOW, duration_ms=1.0)
ORDER = TransferOrder(
    transfer_id="tr_1.source.1",
    op="debit",
    mode="hold",
    wallet_id="w1",
    owner_ref="a1b2c3d4",
    amount=Decimal("10.50"),
    currency="USD",
    not_after=NOW,
)
DIRECT = ORDER.model_copy(update={"mode": "direct"})
ANSWER: dict[str, Any] = {
    "transfer_id": "tr_1.source.1",
    "state": "committed",
    "op": "debit",
    "amount": "10.50",
    "currency": "USD",
    "seq": 7,
}
TOMBSTONE: dict[str, Any] = {**ANSWER, "state": "cancelled", "op": None, "amount": None, "currency": None}
PROBLEM = b'{"type":"/problems/x","status":400,"code":"not_found"}'
PROXY = b"<html><title>404</title></html>"


def answer(**changes: Any) -> bytes:
    """Return an answer's body."""
    return orjson.dumps({**ANSWER, **changes})


def exchange(
    status: int = 200, body: bytes = b"", *, error: EgressError | None = None, truncated: bool = False
) -> Exchange:
    """Return what came of a call."""
    return Exchange(call=CALL, error=error, status=status, body=body, truncated=truncated)


def classify(
    came: Exchange, *, action: Action = "put", order: TransferOrder = ORDER, signature_fault: str | None = None
) -> StepResult:
    """Classify with the usual order."""
    return classify_step(came, order=order, action=action, signature_fault=signature_fault)


@pytest.mark.parametrize(
    "error",
    [
        AddressBlocked(IPv4Address("10.0.0.1"), "private"),
        NameNotResolved("no answer"),
        ConnectFailed("refused"),
        ConnectTimeout("no connection"),
        TlsFailed("not trusted"),
        DestinationRefused("malformed", "no URL"),
        RequestRefused("no header"),
        EgressClosed("closed"),
    ],
)
def test_what_never_left_is_not_sent(error: EgressError) -> None:
    """Blocked, not found, refused, no TLS, no connection in time: nothing happened."""
    result = classify(exchange(error=error))
    assert isinstance(result, NotSent)
    assert result.code == error.code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DeadlineExceeded(stage="headers"), "timeout"),
        (DeadlineExceeded(stage="body", status=200), "timeout"),
        (ResponseBroken("reset"), "response_broken"),
        (ResponseBroken("reset", status=200), "response_broken"),
        (ResponseMalformed("no HTTP"), "response_malformed"),
    ],
)
@pytest.mark.parametrize("action", ["put", "commit", "cancel", "get"])
def test_what_left_and_was_not_answered_is_unknown(error: EgressError, code: str, action: Action) -> None:
    """Also when a 200 had begun."""
    result = classify(exchange(error=error), action=action)
    assert isinstance(result, Unknown)
    assert result.code == code


@pytest.mark.parametrize(
    "status", [201, 202, 204, 206, 301, 302, 307, 400, 401, 403, 404, 409, 410, 422, 429, 500, 502, 503, 504]
)
@pytest.mark.parametrize("body", [answer(), PROBLEM, PROXY, b""])
def test_every_other_status_is_unknown(status: int, body: bytes) -> None:
    """Whoever wrote it, and whatever it says: 409 and 422 speak of this request, not of the one before."""
    result = classify(exchange(status, body))
    assert isinstance(result, Unknown)
    assert result.code == f"http_{status}"
    assert result.wallet_code == ("not_found" if body == PROBLEM else None)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", PROXY, b'{"repeat":true}', answer()[:-5], b"[]", b'{"state":"committed","state":"committed"}'),
        answer().replace(b'"10.50"', b"10.50"),
        answer().replace(b'"10.50"', b"NaN"),
        answer().replace(b'"10.50"', b"1e400"),
        answer().replace(b'"10.50"', b'"10.505"'),
        answer(x=0).replace(b'"x":0', b'"x":' + b"[" * 100_000),
        answer(state="rejected", error={"code": "try_later", "detail": ""}),
    ],
)
def test_a_200_that_is_no_answer_is_unknown(body: bytes) -> None:
    """Empty, a page, a stub, cut off, doubled, deep, with money that is no money, or a refusal that is none of the protocol."""
    result = classify(exchange(200, body))
    assert isinstance(result, Unknown)
    assert result.code == "answer_malformed"


def test_what_goes_beyond_the_limit_is_unknown() -> None:
    """Whatever its beginning looked like."""
    result = classify(exchange(200, answer(), truncated=True))
    assert isinstance(result, Unknown)
    assert result.code == "response_too_large"


@pytest.mark.parametrize("body", [answer(), answer(amount="11"), b"", orjson.dumps(TOMBSTONE)])
def test_an_answer_that_is_not_believed_is_unknown(body: bytes) -> None:
    """Bad, missing where demanded, or replayed: what it says counts for nothing, not even a wrong echo."""
    result = classify(exchange(200, body), signature_fault="response_signature_mismatch")
    assert isinstance(result, Unknown)
    assert result.code == "response_signature_mismatch"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"transfer_id": "tr_2.source.1"}, "transfer_id"),
        ({"op": "credit"}, "op"),
        ({"amount": "10.51"}, "amount"),
        ({"currency": "EUR"}, "currency"),
    ],
)
@pytest.mark.parametrize("action", ["put", "commit", "cancel", "get"])
def test_a_wrong_echo_is_for_a_person(changes: dict[str, str], field: str, action: Action) -> None:
    """Id, direction, amount and currency are those of the order."""
    result = classify(exchange(200, answer(**changes)), action=action)
    assert isinstance(result, EchoMismatch)
    assert result.detail == field


def test_the_same_amount_written_otherwise_is_no_mismatch() -> None:
    """Ten and a half is ten and a half."""
    assert isinstance(classify(exchange(200, answer(amount="10.5"))), Definitive)


def test_a_tombstone_echoes_the_id_alone() -> None:
    """Cancelled before it was seen; another transfer's tombstone is a wrong echo."""
    actions: list[Action] = ["put", "commit", "cancel", "get"]
    for action in actions:
        result = classify(exchange(200, orjson.dumps(TOMBSTONE)), action=action)
        assert isinstance(result, Definitive)
    other = classify(exchange(200, orjson.dumps({**TOMBSTONE, "transfer_id": "tr_2.source.1"})))
    assert isinstance(other, EchoMismatch)


REFUSED = {"state": "rejected", "error": {"code": "insufficient_funds", "detail": ""}}


@pytest.mark.parametrize("order", [ORDER, DIRECT], ids=["hold", "direct"])
@pytest.mark.parametrize("action", ["put", "commit", "cancel", "get"])
@pytest.mark.parametrize("changes", [{"state": "held"}, {"state": "committed"}, {"state": "cancelled"}, REFUSED])
def test_states_are_definitive_where_they_can_be(changes: dict[str, Any], action: Action, order: TransferOrder) -> None:
    """``held`` answers the order of a hold and a question about it, never a commit, a cancel or a direct order."""
    result = classify(exchange(200, answer(**changes)), action=action, order=order)
    impossible = changes["state"] == "held" and (order is DIRECT or action in {"commit", "cancel"})
    if impossible:
        assert isinstance(result, Unknown)
        assert result.code == "answer_unexpected_state"
    else:
        assert isinstance(result, Definitive)
        assert result.answer.state == changes["state"]


@pytest.mark.parametrize(
    ("action", "body", "fault", "found"),
    [
        ("get", PROBLEM, None, True),
        ("get", PROBLEM, "response_signature_missing", False),
        ("get", PROXY, None, False),
        ("get", b'{"code":"route_not_found"}', None, False),
        ("put", PROBLEM, None, False),
        ("commit", PROBLEM, None, False),
        ("cancel", PROBLEM, None, False),
    ],
)
def test_only_the_wallets_own_404_of_a_question_is_not_found(
    action: Action,
    body: bytes,
    fault: str | None,
    found: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """A proxy's page is not, nor is an unsigned problem where signatures are demanded."""
    result = classify(exchange(404, body), action=action, signature_fault=fault)
    assert isinstance(result, NotFound if found else Unknown)


@NO_DEADLINE
@given(st.integers(100, 999), st.binary(max_size=300), st.sampled_from(["put", "commit", "cancel", "get"]))
def test_nothing_at_random_is_definitive(status: int, body: bytes, action: Action) -> None:
    """Bytes that nobody meant as an answer prove nothing, and are survived."""
    assert isinstance(classify(exchange(status, body), action=action), Unknown)


def test_reads_say_why_they_failed() -> None:
    """By the same rules; ``sent`` tells whether the wallet may have been asked."""

    def parse(body: bytes) -> bytes:
        if body != b"good":
            raise MalformedAnswerError("is not good")
        return body

    assert classify_read(exchange(200, b"good"), parse=parse, signature_fault=None).value == b"good"
    for came, fault, code, sent in [
        (exchange(error=ConnectFailed("refused")), None, "connect_failed", False),
        (exchange(error=DeadlineExceeded(stage="headers")), None, "timeout", True),
        (exchange(200, b"good"), "response_signature_missing", "response_signature_missing", True),
        (exchange(200, b"good", truncated=True), None, "response_too_large", True),
        (exchange(200, b"bad"), None, "answer_malformed", True),
        (exchange(302, b"good"), None, "http_302", True),
    ]:
        with pytest.raises(ReadFailed) as failed:
            classify_read(came, parse=parse, signature_fault=fault)
        assert (failed.value.code, failed.value.sent) == (code, sent)
        assert failed.value.call == CALL
    with pytest.raises(ReadFailed) as refused:
        classify_read(replace(exchange(401), body=PROBLEM), parse=parse, signature_fault=None)
    assert refused.value.wallet_code == "not_found"
