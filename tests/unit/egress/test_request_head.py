"""The head of a request, byte by byte, and the codes of errors."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.egress import (
    RESERVED_HEADERS,
    AddressBlocked,
    AddressPolicy,
    ConnectFailed,
    ConnectTimeout,
    DeadlineExceeded,
    DestinationRefused,
    EgressClosed,
    EgressError,
    NameNotResolved,
    NotSent,
    RequestRefused,
    ResponseBroken,
    ResponseMalformed,
    SentUnknown,
    TlsFailed,
    header_name_allowed,
    parse_destination,
)
from shared.egress.request_head import request_head

DESTINATION = parse_destination("https://hooks.example.com:8443/in?a=b", policy=AddressPolicy())


def test_the_head_is_exactly_this() -> None:
    """Request line, host, the refusal of codings, the caller's headers, the length."""
    assert request_head("POST", DESTINATION, {"X-A": "1", "x-b": ""}, b"12345") == (
        b"POST /in?a=b HTTP/1.1\r\nhost: hooks.example.com:8443\r\naccept-encoding: identity\r\n"
        b"X-A: 1\r\nx-b: \r\ncontent-length: 5\r\n\r\n"
    )


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=4))
def test_a_head_has_as_many_lines_as_headers_or_is_refused(headers: dict[str, str]) -> None:
    """No name and no value can add a line of its own."""
    try:
        head = request_head("GET", DESTINATION, headers, None)
    except RequestRefused:
        return
    lines = head.split(b"\r\n")
    assert len(lines) == 3 + len(headers) + 2
    assert lines[-2:] == [b"", b""]
    assert b"\n" not in head.replace(b"\r\n", b"")


@pytest.mark.parametrize("name", sorted(RESERVED_HEADERS))
def test_headers_that_frame_the_message_are_ours(name: str) -> None:
    """A caller's header of such a name is refused in any case."""
    for spelling in (name, name.upper(), name.title()):
        assert not header_name_allowed(spelling)


@pytest.mark.parametrize("name", ["user-agent", "Authorization", "X-Custom_1", "webhook-id", "cookie"])
def test_other_headers_are_the_callers(name: str) -> None:
    """Names that customers use are allowed."""
    assert header_name_allowed(name)


ADDRESS = ip_address("127.0.0.1")
NOT_SENT: list[tuple[NotSent, str]] = [
    (DestinationRefused("malformed", "text"), "destination_refused"),
    (RequestRefused("text"), "request_refused"),
    (AddressBlocked(ADDRESS, "loopback"), "address_blocked"),
    (NameNotResolved("text"), "name_not_resolved"),
    (ConnectFailed("text"), "connect_failed"),
    (TlsFailed("text"), "tls_failed"),
    (ConnectTimeout("text"), "connect_timeout"),
    (EgressClosed("text"), "egress_closed"),
]
SENT_UNKNOWN: list[tuple[SentUnknown, str]] = [
    (DeadlineExceeded(stage="body", status=200), "timeout"),
    (ResponseBroken("text"), "response_broken"),
    (ResponseMalformed("text", status=200), "response_malformed"),
]


@pytest.mark.parametrize(("error", "code"), [*NOT_SENT, *SENT_UNKNOWN])
def test_codes_are_stable(error: EgressError, code: str) -> None:
    """Codes are stored with attempts: they never change."""
    assert error.code == code


def test_an_error_is_either_not_sent_or_unknown() -> None:
    """No error is both, and the tables above name every one."""
    leaves = {type(error) for error, _ in NOT_SENT} | {type(error) for error, _ in SENT_UNKNOWN}
    assert {*NotSent.__subclasses__(), *SentUnknown.__subclasses__()} == leaves
    assert set(EgressError.__subclasses__()) == {NotSent, SentUnknown}
    assert not set(NotSent.__subclasses__()) & set(SentUnknown.__subclasses__())
