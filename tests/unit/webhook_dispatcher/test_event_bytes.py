"""What a publisher sent is what is kept: `data` byte by byte, ids and times as documented."""

import json
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.events.event import Event, data_of, make_payload, parse_published, parse_streamed

NOW = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)
TENANT = typeids.new_id()
REALM = Realm(tenant_id=TENANT, environment="live")


def publish(data: bytes, *, before: bytes = b'"type":"payment.failed",', after: bytes = b"") -> Event:
    """Publish one event whose `data` is these bytes."""
    (event,) = parse_published(b"{" + before + b'"data":' + data + after + b"}", realm=REALM, now=NOW)
    return event


AWKWARD = [
    b'{"amount":1.10}',
    b'{"amount":1e400}',
    b'{"amount":-0}',
    b'{"amount":-0.0E+00}',
    b'{"amount":0.1000000000000000055511151231257827}',
    b'{"n":123456789012345678901234567890123456789012345678901234567890}',
    b'{"z":1,"a":2,"M":3}',
    b'{ "a" :\t1 ,\r\n"b":[ ] }',
    b'{"euro":"\\u20ac","pair":"\\ud83d\\ude00","slash":"\\/","tab":"\\t"}',
    '{"euro":"€","name":"Zoë","emoji":"😀"}'.encode(),
    b'{"\\u0064ata":{"data":{}},"test":true}',
    b'{"x":"\\",\\"data\\":{}"}',
    b"{}",
]


@pytest.mark.parametrize("data", AWKWARD)
def test_awkward_data_passes_through_untouched(data: bytes) -> None:
    """Alone, in a batch, on the stream: the payload holds the very bytes, and they can be cut out of it again."""
    alone = publish(data)
    item = b'{"type":"payment.failed","data":' + data + b"}"
    _, batched = parse_published(b'{"events":[' + item + b" , " + item + b"]}", realm=REALM, now=NOW)
    tenant = typeids.encode("ten", TENANT).encode()
    streamed = parse_streamed(item[:-1] + b',"tenant_id":"' + tenant + b'"}', default_id=lambda: "evt_x", now=NOW)
    for event in (alone, batched, streamed):
        assert event.payload.endswith(b',"subject":null,"data":' + data + b"}")
        assert data_of(event.payload, test=False) == data


_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,5})?", fullmatch=True)
_STRINGS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).flatmap(
    lambda text: st.sampled_from([json.dumps(text), json.dumps(text, ensure_ascii=False)])
)
_SPACE = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])


def _array(items: list[str]) -> str:
    return "[" + ",".join(items) + "]"


def _object(pairs: tuple[str, list[tuple[str, str]]]) -> str:
    space, items = pairs
    unique = {json.loads(key): f"{space}{key}{space}:{space}{value}{space}" for key, value in items}
    return "{" + ",".join(unique.values()) + "}"


def _objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(_SPACE, st.lists(st.tuples(_STRINGS, values), max_size=4)).map(_object)


_TEXTS = st.recursive(
    _NUMBERS | _STRINGS | st.sampled_from(["true", "false", "null"]),
    lambda inner: st.lists(inner, max_size=4).map(_array) | _objects(inner),
    max_leaves=12,
)


@given(data=_objects(_TEXTS).map(str.encode), space=_SPACE.map(str.encode), last=st.booleans())
def test_any_data_passes_through_untouched(data: bytes, space: bytes, *, last: bool) -> None:
    """Numbers of any form, escapes, key order and spacing, wherever `data` stands in the event."""
    before, after = b'"type":"payment.failed",', b',"subject":"s"'
    event = publish(space + data + space, before=before, after=b"" if last else after)
    assert data_of(event.payload, test=False) == data
    assert event.payload.endswith(b',"data":' + data + b"}")


@given(
    event_id=st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True),
    subject=st.none() | st.text(max_size=40),
    data=st.sampled_from(AWKWARD),
    test=st.booleans(),
)
def test_a_payload_gives_its_data_back(event_id: str, subject: str | None, data: bytes, *, test: bool) -> None:
    """Whatever stands before `data`, no quoting makes its mark ambiguous; the mark of a test stands after it."""
    payload = make_payload(
        event_id=event_id, event_type="payment.failed", occurred_at=NOW, subject=subject, data=data, test=test
    )
    assert data_of(payload, test=test) == data
    assert payload.endswith(b',"test":true}') is (test or data.endswith(b',"test":true'))


def test_the_payload_is_the_documented_body() -> None:
    """Five members in this order, the time in UTC with Z."""
    event = publish(
        b'{"a":1.10}',
        before=b'"id":"wr-1","type":"withdrawal.rejected","subject":"7f3k","occurred_at":"2026-11-25T13:00:00.5+01:00",',
    )
    assert event.payload == (
        b'{"id":"wr-1","type":"withdrawal.rejected","timestamp":"2026-11-25T12:00:00.500000Z","subject":"7f3k","data":{"a":1.10}}'
    )
    assert (event.event_id, event.function, event.realm) == ("wr-1", "withdrawal", REALM)


@pytest.mark.parametrize("event_id", ["a", "0", "wr-1", "A.b_c:d-e", "a" * 128])
def test_an_own_id_is_the_events_id(event_id: str) -> None:
    """It is taken as it is."""
    assert publish(b"{}", after=b',"id":"' + event_id.encode() + b'"').event_id == event_id


@pytest.mark.parametrize("absent", [b"", b',"id":null,"subject":null,"occurred_at":null,"ordering_key":null'])
def test_what_is_absent_or_null_is_filled_in(absent: bytes) -> None:
    """A new TypeID, that of the row; the time of acceptance."""
    event = publish(b"{}", after=absent)
    assert event.event_id == typeids.encode("evt", event.id)
    assert event.occurred_at == NOW
    assert orjson.loads(event.payload)["timestamp"] == "2026-07-01T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-07-01T12:00:00Z", NOW),
        ("2026-07-01t12:00:00z", NOW),
        ("2026-07-01 12:00:00+00:00", NOW),
        ("2026-07-01T14:00:00+02:00", NOW),
        ("2026-07-01T12:00:00.123456789Z", NOW.replace(microsecond=123456)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times_of_rfc_3339_are_understood(text: str, moment: datetime) -> None:
    """Any offset, any letter case, fractions to the microsecond."""
    assert publish(b"{}", after=f',"occurred_at":"{text}"'.encode()).occurred_at == moment


def test_an_escaped_field_name_is_that_field() -> None:
    """Both readers of an event agree on names written with escapes."""
    (event,) = parse_published(
        b'{"\\u0065vents":[{"typ\\u0065":"payment.failed","d\\u0061ta":{"a":1.10}}]}', realm=REALM, now=NOW
    )
    assert data_of(event.payload, test=False) == b'{"a":1.10}'


def test_the_stream_names_realm_and_default_id() -> None:
    """`environment` is live unless named; an event without id takes the entry's."""
    tenant = typeids.encode("ten", TENANT)
    wanted = {"type": "payment.failed", "data": {}, "tenant_id": tenant}
    first = parse_streamed(orjson.dumps(wanted), default_id=lambda: "evt_entry", now=NOW)
    assert (first.event_id, first.realm) == ("evt_entry", REALM)
    second = parse_streamed(
        orjson.dumps({**wanted, "environment": "test", "id": "own"}), default_id=lambda: "evt_entry", now=NOW
    )
    assert (second.event_id, second.realm) == ("own", Realm(tenant_id=TENANT, environment="test"))
