"""What can be read of a rejected entry, and the event it stands for."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import strict_json, typeids
from shared.access import Realm
from webhook_dispatcher.events.errors import InvalidEvent
from webhook_dispatcher.rejected_events.rejection import (
    EXCERPT_BYTES,
    KEPT_BYTES_MAX,
    Rejection,
    as_published,
    body_of_fields,
    read,
)

_TENANT = UUID("0192f3f1-e511-7953-8000-3f8a3c5e9d7e")
_TEN = typeids.encode("ten", _TENANT)


def _rejection(body: bytes, **fields: str) -> Rejection:
    values = {"source": "s", "entry_id": "1-0", "reason": "invalid_event", "detail": "x", "default_event_id": "evt_x"}
    return Rejection(**{**values, **fields}, body=body)


@pytest.mark.parametrize(
    ("body", "environment"),
    [
        (f'{{"tenant_id":"{_TEN}"}}', "live"),
        (f'{{"tenant_id":"{_TEN}","environment":"test","type":7,"x":[1]}}', "test"),
        (f'{{"tenant_id":"{_TEN}","environment":"prod"}}', None),
        (f'{{"tenant_id":"{_TEN}","environment":null}}', None),
        (f'{{"tenant_id":"{_TEN}","tenant_id":"{_TEN}"}}', None),
        (f'{{"tenant_id":"{_TEN}"', None),
        ('{"tenant_id":"ten_x"}', None),
        ('{"tenant_id":["ten"]}', None),
        ("{}", None),
        ("[]", None),
        ("", None),
    ],
)
def test_a_realm_is_believed_only_where_it_is_said_soundly(body: str, environment: str | None) -> None:
    """An entry that two readers could read differently belongs to nobody."""
    realm = Realm(tenant_id=_TENANT, environment=environment) if environment in ("live", "test") else None  # type: ignore[arg-type]  # narrowed by the comparison
    assert read(body.encode()).realm == realm


def test_ids_and_types_are_read_as_far_as_they_can_be_shown() -> None:
    """Texts, cut at a length; nothing with control characters."""
    told = read(b'{"id":"a b","type":"nope"}')
    assert (told.event_id, told.type) == ("a b", "nope")
    told = read(b'{"id":7,"type":"a\\nb"}')
    assert (told.event_id, told.type) == (None, None)
    assert len(read(b'{"id":"' + b"x" * 5000 + b'"}').event_id or "") == 256


@pytest.mark.parametrize(
    ("stored", "published"),
    [
        (
            f'{{"tenant_id":"{_TEN}","environment":"live","id":"a","type":"t","data":{{"n":1.10, "m":1e400}}}}',
            '{"id":"a","type":"t","data":{"n":1.10, "m":1e400}}',
        ),
        (f'{{"tenant_id":"{_TEN}","type":"t","data":{{}}}}', '{"type":"t","data":{},"id":"evt_1"}'),
        (f'{{"tenant_id":"{_TEN}","id":null,"odd":[1]}}', '{"id":"evt_1","odd":[1]}'),
        ('{"a":1,"a":2}', '{"a":1,"a":2}'),
        ("[1]", "[1]"),
        ("", ""),
    ],
)
def test_a_stored_entry_becomes_what_would_have_been_published(stored: str, published: str) -> None:
    """Without what only the queue needs, under its own or its entry's id, data byte by byte; unsound bodies stay as they are."""
    assert as_published(stored.encode(), default_id="evt_1", from_queue=True).decode() == published


def test_a_correction_is_taken_as_it_is() -> None:
    """A tenant in it is not dropped but refused later, since the credential names the realm; a batch is refused here."""
    body = f'{{"tenant_id":"{_TEN}","id":"a"}}'
    assert as_published(body.encode(), default_id="evt_1", from_queue=False).decode() == body
    with pytest.raises(InvalidEvent):
        as_published(b'{"events":[]}', default_id="evt_1", from_queue=False)


@given(
    data=st.dictionaries(st.text(min_size=1, max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=5)
)
def test_whatever_data_holds_is_replayed_unchanged(data: dict[str, object]) -> None:
    """The bytes of ``data`` stand in the body as they stood in the entry."""
    try:
        strict_json.loads(raw := json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    except strict_json.MalformedJsonError:
        return
    stored = b'{"tenant_id": "x", "type": "t", "data": ' + raw + b"}"
    assert b'"data":' + raw in as_published(stored, default_id="evt_1", from_queue=True)


def test_the_same_entry_has_the_same_fingerprint_and_others_have_another() -> None:
    """By where it came from, its id there, and what it holds."""
    first = _rejection(b"x").fingerprint
    assert _rejection(b"x", reason="other", detail="other").fingerprint == first
    others = [_rejection(b"y"), _rejection(b"x", entry_id="2-0"), _rejection(b"x", source="t")]
    assert len({first, *(item.fingerprint for item in others)}) == 4


def test_what_is_kept_is_bounded_and_shows_no_credential() -> None:
    """A body larger than any event is cut; the detail is cut and redacted."""
    whole, large = _rejection(b"x" * KEPT_BYTES_MAX), _rejection(b"x" * (KEPT_BYTES_MAX + 1))
    assert (whole.is_whole, len(whole.kept_body)) == (True, KEPT_BYTES_MAX)
    assert (large.is_whole, len(large.kept_body)) == (False, EXCERPT_BYTES)
    key = "cw_sk_live_6e9Ne8jWgsi0ZgaDqtSQFtkny0qvKyYZiKMroXce26G46GycU"
    detail = _rejection(b"", detail=f"/{key}: unknown field\0" + "x" * 10_000).kept_detail
    assert key not in detail
    assert "\0" not in detail
    assert len(detail) <= 4_000


def test_fields_of_an_entry_that_is_none_of_ours_are_kept_for_people() -> None:
    """As JSON, whatever their bytes are."""
    assert body_of_fields({b"payload": b"\xff{}", b"x": b"1"}) == '{"payload":"\ufffd{}","x":"1"}'.encode()
