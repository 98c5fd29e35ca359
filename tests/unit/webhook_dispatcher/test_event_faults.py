"""Every fault of a published event is refused, and pointed at exactly."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import typeids
from shared.access import Realm
from shared.strict_json import DEPTH_MAX
from webhook_dispatcher.events.event import (
    BATCH_EVENTS_MAX,
    EVENT_BYTES_MAX,
    InvalidEventError,
    parse_published,
    parse_streamed,
)

NOW = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)
TENANT = typeids.new_id()
REALM = Realm(tenant_id=TENANT, environment="live")
GOOD: dict[str, Any] = {"type": "withdrawal.approved.node.2", "subject": "7f3k2m9q", "data": {"amount": "1.00"}}
ABSENT = "<absent>"  # a text, so that each test process makes the same test ids of it


Fault = tuple[dict[str, Any], str, list[str]]


def each(name: str, values: list[Any], code: str = "invalid_event") -> list[Fault]:
    """Return, for each value that the field must not have, the fault it makes."""
    return [({name: value}, code, [f"/{name}"]) for value in values]


def with_fields(**fields: Any) -> dict[str, Any]:
    """Return a good event with other fields; ``ABSENT`` leaves one out."""
    return {name: value for name, value in {**GOOD, **fields}.items() if value is not ABSENT}


def refusal(body: bytes) -> tuple[str, list[str]]:
    """Return the code and the pointers with which a body is refused."""
    with pytest.raises(InvalidEventError) as refused:
        parse_published(body, realm=REALM, now=NOW)
    assert all(error["detail"] for error in refused.value.errors)
    return refused.value.code, [error["pointer"] for error in refused.value.errors]


FIELD_FAULTS: list[Fault] = [
    ({"colour": "red"}, "invalid_event", ["/colour"]),
    ({"a/b~c": 1}, "invalid_event", ["/a~1b~0c"]),
    ({"tenant_id": "ten_00000000000000000000000000"}, "invalid_event", ["/tenant_id"]),
    ({"environment": "test"}, "invalid_event", ["/environment"]),
    ({"type": ABSENT, "subject": ABSENT}, "invalid_event", ["/type"]),
    *each("type", [None, 1, True, ["a"], {"a": 1}]),
    *each(
        "type", ["", "withdrawal", "withdrawal.*", "Withdrawal.rejected", " withdrawal.rejected"], "unknown_event_type"
    ),
    *each("type", ["withdrawal.approved.node.0", "withdrawal.approved.node.11", "x" * 100_000], "unknown_event_type"),
    *each("data", [ABSENT, None, "{}", 1, 1.5, True, [], [{}]]),
    *each("id", ["", "a b", "é", "a/b", "a" * 129, "a\n", 5, True, [], {}]),
    *each("subject", [ABSENT, None, "", "a" * 257, "a\nb", "\t", "\x7f", "\u202e", 7, True, ["x"], {"a": 1}]),
    *each("ordering_key", ["", "a" * 257, "a\nb", 7, ["x"]]),
    *each("occurred_at", ["", "2026-07-01", "2026-07-01T12:00:00", "yesterday", "2026-13-01T00:00:00Z"]),
    *each("occurred_at", ["2026-02-30T00:00:00Z", "2026-07-01T25:00:00Z", "2026-07-01T12:00:00+25:00"]),
    *each("occurred_at", ["2026-07-01T12:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]),
    *each("occurred_at", ["٢٠٢٦-07-01T12:00:00Z", "2026-07-01T12:00:00.1234567890Z", 1782907200, 1.5, True]),
]


@pytest.mark.parametrize(
    ("fields", "code", "pointers"), FIELD_FAULTS, ids=[str(fault[0])[:60] for fault in FIELD_FAULTS]
)
def test_a_bad_field_is_pointed_at(fields: dict[str, Any], code: str, pointers: list[str]) -> None:
    """Alone, the pointer starts at the event; in a batch, at the batch."""
    event = with_fields(**fields)
    assert refusal(orjson.dumps(event)) == (code, pointers)
    in_batch = [f"/events/1{pointer}" for pointer in pointers]
    assert refusal(orjson.dumps({"events": [GOOD, event]})) == (code, in_batch)


def test_all_faults_of_an_event_are_told_at_once() -> None:
    """A publisher fixes one refusal, not five in a row."""
    code, pointers = refusal(orjson.dumps(with_fields(data=1, id="a b", subject=None, occurred_at="x", colour=1)))
    assert code == "invalid_event"
    assert sorted(pointers) == ["/colour", "/data", "/id", "/occurred_at", "/subject"]


@pytest.mark.parametrize("function", ["withdrawal", "prop_trading", "prop_trading_live", "transfer", "kyc"])
def test_request_functions_need_a_subject_and_others_do_not(function: str) -> None:
    """Without the request's id, `first` could not tell requests apart."""
    assert refusal(orjson.dumps(with_fields(type=f"{function}.rejected", subject=ABSENT))) == (
        "invalid_event",
        ["/subject"],
    )
    (event,) = parse_published(orjson.dumps(with_fields(type="payment.failed", subject=ABSENT)), realm=REALM, now=NOW)
    assert event.subject is None


BODY_FAULTS: list[tuple[str, bytes, str, list[str]]] = [
    ("empty", b"", "malformed_json", [""]),
    ("no JSON", b"hello", "malformed_json", [""]),
    ("cut off", orjson.dumps(GOOD)[:-1], "malformed_json", [""]),
    ("two documents", orjson.dumps(GOOD) * 2, "malformed_json", [""]),
    ("array", b"[" + orjson.dumps(GOOD) + b"]", "invalid_event", [""]),
    ("text", b'"event"', "invalid_event", [""]),
    ("null", b"null", "invalid_event", [""]),
    ("invalid UTF-8", b'{"type":"withdrawal.rejected","subject":"\xff","data":{}}', "malformed_json", [""]),
    ("overlong UTF-8", b'{"type":"withdrawal.rejected","subject":"\xc0\xaf","data":{}}', "malformed_json", [""]),
    ("lone surrogate", b'{"type":"payment.failed","data":{"a":"\\ud800"}}', "malformed_json", [""]),
    ("NUL escape", b'{"type":"payment.failed","data":{"a":[0,"x\\u0000"]}}', "malformed_json", ["/data/a/1"]),
    ("NUL in a key", b'{"type":"payment.failed","data":{"a\\u0000":1}}', "malformed_json", ["/data"]),
    ("NUL byte", b'{"type":"payment.failed","data":{"a":"\x00"}}', "malformed_json", [""]),
    ("NaN", b'{"type":"payment.failed","data":{"a":NaN}}', "malformed_json", [""]),
    ("Infinity", b'{"type":"payment.failed","data":{"a":-Infinity}}', "malformed_json", [""]),
    ("duplicate field", b'{"type":"payment.failed","data":{},"type":"payment.failed"}', "malformed_json", ["/type"]),
    ("duplicate in data", b'{"type":"payment.failed","data":{"a":[{"b":1,"b":2}]}}', "malformed_json", ["/data/a/0/b"]),
    ("duplicate by escape", b'{"type":"payment.failed","data":{"a":1,"\\u0061":2}}', "malformed_json", ["/data/a"]),
    ("number too long", b'{"type":"payment.failed","data":{"a":' + b"9" * 5000 + b"}}", "malformed_json", [""]),
    (
        "too deep",
        b'{"type":"payment.failed","data":' + b'{"a":' * 70 + b"1" + b"}" * 71,
        "malformed_json",
        ["/data" + "/a" * 63],
    ),
    (
        "a million deep",
        b'{"type":"payment.failed","data":' + b"[" * 10**6 + b"]" * 10**6 + b"}",
        "malformed_json",
        [""],
    ),
    ("no events", b'{"events":[]}', "invalid_event", ["/events"]),
    ("events null", b'{"events":null}', "invalid_event", ["/events"]),
    ("events an object", b'{"events":{}}', "invalid_event", ["/events"]),
    ("event null", b'{"events":[null]}', "invalid_event", ["/events/0"]),
    (
        "batch in it",
        b'{"events":[{"events":[]}]}',
        "invalid_event",
        ["/events/0/events", "/events/0/type", "/events/0/data"],
    ),
    ("batch with more", b'{"events":[{}],"x/y":1}', "invalid_event", ["/x~1y"]),
    ("event and batch", b'{"events":[{}],"type":"payment.failed"}', "invalid_event", ["/type"]),
]


@pytest.mark.parametrize(
    ("body", "code", "pointers"), [fault[1:] for fault in BODY_FAULTS], ids=[f[0] for f in BODY_FAULTS]
)
def test_a_bad_body_is_pointed_at(body: bytes, code: str, pointers: list[str]) -> None:
    """Malformed JSON, wrong shapes, duplicate keys, depth: each with its place where it has one."""
    assert refusal(body) == (code, pointers)


def test_depth_at_the_limit_is_accepted() -> None:
    """The limit is on the document, of which the data stands one level down."""
    levels = DEPTH_MAX - 1
    body = b'{"type":"payment.failed","data":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"
    assert len(parse_published(body, realm=REALM, now=NOW)) == 1


def _event_of_size(size: int) -> bytes:
    head, tail = b'{"type":"payment.failed","data":{"a":"', b'"}}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


def test_an_event_may_have_one_mebibyte_and_not_a_byte_more() -> None:
    """The size is that of the event's own bytes, alone and in a batch."""
    fitting, too_large = _event_of_size(EVENT_BYTES_MAX), _event_of_size(EVENT_BYTES_MAX + 1)
    assert EVENT_BYTES_MAX == 1024 * 1024
    assert len(parse_published(fitting, realm=REALM, now=NOW)) == 1
    assert refusal(too_large) == ("event_too_large", [""])
    assert refusal(b'{"events":[' + fitting + b"," + too_large + b"]}") == ("event_too_large", ["/events/1"])


def test_a_batch_has_at_most_a_thousand_events() -> None:
    """One more refuses all."""
    item = orjson.dumps(GOOD)
    full = b'{"events":[' + b",".join([item] * BATCH_EVENTS_MAX) + b"]}"
    assert BATCH_EVENTS_MAX == 1000
    assert len(parse_published(full, realm=REALM, now=NOW)) == BATCH_EVENTS_MAX
    assert refusal(full[:-2] + b"," + item + b"]}") == ("invalid_event", ["/events"])


def test_a_batch_of_faults_is_answered_within_bounds() -> None:
    """A thousand bad events with a thousand faults each do not make a million lines."""
    bad = with_fields(**{f"x{number}": 1 for number in range(100)})
    code, pointers = refusal(orjson.dumps({"events": [bad] * 1000}))
    assert (code, len(pointers)) == ("invalid_event", 100)
    assert pointers[5].startswith("/events/1/")


def test_faults_of_different_kinds_share_the_general_code() -> None:
    """The code names the kind only where there is one."""
    code, pointers = refusal(orjson.dumps({"events": [with_fields(type="nope"), GOOD, with_fields(data=1)]}))
    assert (code, pointers) == ("invalid_event", ["/events/0/type", "/events/2/data"])


STREAMED = {**GOOD, "tenant_id": typeids.encode("ten", TENANT)}


STREAM_FAULTS: list[Fault] = [
    ({"colour": "red"}, "invalid_event", ["/colour"]),
    *each("tenant_id", [None, "", "acme", "wh_00000000000000000000000000", 7, [], {}]),
    *each("tenant_id", ["ten_" + "é" * 26, "ten_8" + "0" * 25, "ten_" + "0" * 25 + "U"]),
    *each("environment", [None, "", "prod", "LIVE", 1, ["live"], {}]),
]


@pytest.mark.parametrize(("fields", "code", "pointers"), STREAM_FAULTS)
def test_on_the_stream_the_realm_must_be_named_well(fields: dict[str, Any], code: str, pointers: list[str]) -> None:
    """There no credential names it, so the event does."""
    with pytest.raises(InvalidEventError) as refused:
        parse_streamed(orjson.dumps({**STREAMED, **fields}), default_id=lambda: "evt_x", now=NOW)
    assert (refused.value.code, [error["pointer"] for error in refused.value.errors]) == (code, pointers)


@pytest.mark.parametrize("body", [fault[1] for fault in BODY_FAULTS], ids=[f[0] for f in BODY_FAULTS])
def test_the_stream_refuses_what_http_refuses(body: bytes) -> None:
    """Nothing but InvalidEventError comes out, or one bad entry would stop the intake."""
    with pytest.raises(InvalidEventError):
        parse_streamed(body, default_id=lambda: "evt_x", now=NOW)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    ["type", "data", "id", "subject", "occurred_at", "ordering_key", "tenant_id", "environment", "events"]
)
_VALUES = _JSON | st.sampled_from(
    ["withdrawal.rejected", "payment.failed", "live", STREAMED["tenant_id"], NOW.isoformat()]
)


@given(
    st.binary(max_size=80)
    | st.text(max_size=80).map(lambda text: ('{"type":"payment.failed","data":{' + text).encode())
)
def test_any_bytes_are_events_or_the_one_error(body: bytes) -> None:
    """No input raises anything but InvalidEventError, neither over HTTP nor from the stream."""
    _accept_or_refuse(body)


@given(st.dictionaries(_FIELDS, _VALUES))
def test_any_object_is_an_event_or_the_one_error(document: dict[str, Any]) -> None:
    """The same for well-formed documents with the right names and wrong values."""
    _accept_or_refuse(json.dumps(document).encode())


def _accept_or_refuse(body: bytes) -> None:
    with contextlib.suppress(InvalidEventError):
        assert parse_published(body, realm=REALM, now=NOW)
    with contextlib.suppress(InvalidEventError):
        assert parse_streamed(body, default_id=lambda: "evt_x", now=NOW)
