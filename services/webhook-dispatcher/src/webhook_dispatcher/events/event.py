"""An event as it was published, checked. Pure.

``data`` is kept as the exact bytes of the publisher: numbers never pass through floats, key order and spacing stay.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

import orjson

from shared import strict_json, typeids
from shared.access import Realm
from shared.key_format import Environment
from shared.problems import PointedError
from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.event_types.data_schema import CheckBudget, DataSchema
from webhook_dispatcher.event_types.realm_type import is_own_name
from webhook_dispatcher.events.wire_form import (
    FIELDS,
    STREAM_FIELDS,
    EventIn,
    decode_batch,
    decode_event,
    decode_stream_event,
)

EVENT_BYTES_MAX = 1024 * 1024
BATCH_BYTES_MAX = 16 * 1024 * 1024
BATCH_EVENTS_MAX = 1000
_SUBJECT_CHARS_MAX = 256
_EVENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_FAULTS_MAX = 100
_TENANT = "tenant_id"
_DATA_MARK = b',"data":'
_TEST_TAIL = b',"test":true}'


class InvalidEventError(ValueError):
    """An event is not acceptable. ``errors`` points at each fault, relative to the event; ``code`` is stable."""

    def __init__(self, code: str, errors: Sequence[PointedError]) -> None:
        super().__init__(code)
        self.code = code
        self.errors = list(errors)

    def at(self, place: str) -> "InvalidEventError":
        """Return the same with its pointers relative to the body in which the event stands at ``place``."""
        return InvalidEventError(
            self.code, [{**error, "pointer": f"{place}{error['pointer']}"} for error in self.errors[:5]]
        )

    @classmethod
    def joined(cls, faults: "Sequence[InvalidEventError]", *, faults_max: int) -> "InvalidEventError":
        """Return the faults of several events as one, with their code where they agree on it."""
        codes = {fault.code for fault in faults}
        errors = [error for fault in faults for error in fault.errors]
        return cls(codes.pop() if len(codes) == 1 else "invalid_event", errors[:faults_max])


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One accepted event: ``id`` names the row, ``event_id`` is the event's id everywhere outside."""

    id: UUID
    realm: Realm
    event_id: str
    type: str
    function: str
    subject: str | None
    ordering_key: str | None
    occurred_at: datetime
    payload: bytes
    """The body of the standard format, made once: ``{"id","type","timestamp","subject","data"}``."""
    pointer: str = ""
    """Where the event stands in the body it came with."""
    own_type: bool = False
    """Whether its type is none of the built-in ones: then it is still to be found, and ``data`` to be checked."""
    traceparent: str | None = None
    """The trace it belongs to, see ``tracing``."""


def parse_published(body: bytes, *, realm: Realm, now: datetime) -> list[Event]:
    """Read the body of ``POST /v1/events``: one event, or ``{"events": […]}`` with up to 1 000.

    Raises InvalidEventError with pointers into the body; one bad event refuses the whole body.
    """
    document = _loads(body)
    if not isinstance(document, dict):
        raise InvalidEventError("invalid_event", [{"pointer": "", "detail": "a JSON object is required"}])
    if "events" not in document:
        return [_event(decode_event, body, document, realm=realm, now=now, default_id=None)]
    items = document["events"]
    if not isinstance(items, list) or not 1 <= len(items) <= BATCH_EVENTS_MAX:
        raise InvalidEventError(
            "invalid_event", [{"pointer": "/events", "detail": f"an array of 1 to {BATCH_EVENTS_MAX} events"}]
        )
    unknown = [name for name in document if name != "events"]
    if unknown:
        raise InvalidEventError("invalid_event", [_fault(name, "unknown field") for name in unknown])
    events: list[Event] = []
    faults: list[InvalidEventError] = []
    budget = CheckBudget()
    for index, (raw, item) in enumerate(zip(decode_batch(body).events, items, strict=True)):
        place = f"/events/{index}"
        try:
            events.append(
                _event(
                    decode_event,
                    bytes(raw),
                    item,
                    realm=realm,
                    now=now,
                    default_id=None,
                    pointer=place,
                    budget=budget,
                )
            )
        except InvalidEventError as exc:
            faults.append(exc.at(place))
    if faults:
        raise InvalidEventError.joined(faults, faults_max=_FAULTS_MAX)
    return events


def parse_streamed(body: bytes, *, default_id: Callable[[], str], now: datetime) -> Event:
    """Read the ``event`` field of a stream entry: the same JSON plus ``tenant_id`` and ``environment``.

    ``default_id`` is asked for the id of an event that has none: the same each time the entry is read, so that an entry read
    twice is one event. Raises InvalidEventError.
    """
    document = _loads(body)
    if not isinstance(document, dict):
        raise InvalidEventError("invalid_event", [{"pointer": "", "detail": "a JSON object is required"}])
    tenant, environment = document.get(_TENANT), document.get("environment", "live")
    try:
        realms = _realms_of(tenant if isinstance(tenant, str) else "")
    except typeids.MalformedIdError as exc:
        raise InvalidEventError("invalid_event", [_fault(_TENANT, "a ten_… id is required")]) from exc
    realm = realms.get(environment) if isinstance(environment, str) else None
    if realm is None:
        raise InvalidEventError("invalid_event", [_fault("environment", "live or test")])
    return _event(decode_stream_event, body, document, realm=realm, now=now, default_id=default_id)


def make_payload(
    *, event_id: str, event_type: str, occurred_at: datetime, subject: str | None, data: bytes, test: bool = False
) -> bytes:
    """Return the bytes that every standard delivery of this event sends; ``data`` stands in them unchanged."""
    head = orjson.dumps({"id": event_id, "type": event_type, "timestamp": rfc3339(occurred_at), "subject": subject})
    return b"".join((head[:-1], _DATA_MARK, data, _TEST_TAIL if test else b"}"))


def data_of(payload: bytes, *, test: bool) -> bytes:
    """Return the publisher's own bytes of ``data`` in a payload made by ``make_payload``.

    The mark of ``data`` is found by its first occurrence: the strings before it have every quote escaped, so none holds it.
    """
    tail = payload.partition(_DATA_MARK)[2]
    return tail[: -len(_TEST_TAIL)] if test else tail[:-1]


@lru_cache(maxsize=64)
def rfc3339(moment: datetime) -> str:
    """Return UTC with ``Z``, to the microsecond where there are any. Events that were read together share theirs."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@lru_cache(maxsize=4096)
def _realms_of(tenant: str) -> Mapping[str, Realm]:
    """Return a tenant's realms by environment; raises MalformedIdError for what is no tenant's id."""
    tenant_id = typeids.decode("ten", tenant)
    environments: tuple[Environment, ...] = ("live", "test")
    return {environment: Realm(tenant_id=tenant_id, environment=environment) for environment in environments}


def _loads(body: bytes) -> object:
    try:
        return strict_json.loads(body, decimals=True)
    except strict_json.MalformedJsonError as exc:
        raise InvalidEventError("malformed_json", [{"pointer": exc.pointer, "detail": exc.detail}]) from exc


def _event(
    decode: Callable[[bytes], EventIn],
    raw: bytes,
    document: object,
    *,
    realm: Realm,
    now: datetime,
    default_id: Callable[[], str] | None,
    pointer: str = "",
    budget: CheckBudget | None = None,
) -> Event:
    if len(raw) > EVENT_BYTES_MAX:
        detail = f"an event has at most {EVENT_BYTES_MAX} bytes"
        raise InvalidEventError("event_too_large", [{"pointer": "", "detail": detail}])
    if not isinstance(document, dict):
        raise InvalidEventError("invalid_event", [{"pointer": "", "detail": "a JSON object is required"}])
    fields = STREAM_FIELDS if decode is decode_stream_event else FIELDS
    code, faults = _check(document, fields)
    if faults:
        raise InvalidEventError(code, faults)
    event_type, subject = document["type"], document.get("subject")
    row_id = typeids.new_id()
    event_id = document.get("id") or (default_id() if default_id else typeids.encode("evt", row_id))
    occurred_at = _moment(document["occurred_at"]) if document.get("occurred_at") else now
    assert occurred_at is not None
    data = bytes(decode(raw).data)
    schema = catalogue.data_schema(event_type)
    if schema is not None:
        check_data(schema, data, parsed=document["data"], budget=budget or CheckBudget())
    return Event(
        id=row_id,
        realm=realm,
        event_id=event_id,
        type=event_type,
        function=catalogue.function_of(event_type),
        subject=subject,
        ordering_key=document.get("ordering_key"),
        occurred_at=occurred_at,
        payload=make_payload(
            event_id=event_id, event_type=event_type, occurred_at=occurred_at, subject=subject, data=data
        ),
        pointer=pointer,
        own_type=schema is None,
    )


def check_data(schema: DataSchema, data: bytes, *, parsed: object = None, budget: CheckBudget) -> None:
    """Raise InvalidEventError if an event's ``data`` breaks the schema of its type."""
    fault = schema.fault(data, parsed=parsed, budget=budget)
    if fault is not None:
        raise InvalidEventError("data_breaks_schema", [{**fault, "pointer": f"/data{fault['pointer']}"}])


def unknown_type(event_type: str) -> InvalidEventError:
    """Return what an event of no known type is refused with."""
    return InvalidEventError("unknown_event_type", [_fault("type", f"there is no event type {event_type[:128]!r}")])


def _check(document: dict[str, object], fields: frozenset[str]) -> tuple[str, list[PointedError]]:
    """Return the code and every fault of an event's fields; no fault, and the event is good."""
    faults = [_fault(name, "unknown field") for name in document.keys() - fields]
    event_type = document.get("type")
    if not isinstance(event_type, str):
        faults.append(_fault("type", "an event type is required"))
    elif not catalogue.is_known(event_type) and not is_own_name(event_type):
        return "unknown_event_type", [*faults, *unknown_type(event_type).errors]
    if not isinstance(document.get("data"), dict):
        faults.append(_fault("data", "a JSON object is required"))
    event_id = document.get("id")
    if event_id is not None and not (isinstance(event_id, str) and _EVENT_ID.fullmatch(event_id)):
        faults.append(_fault("id", "1-128 letters, digits and . _ : -"))
    subject = document.get("subject")
    if subject is None:
        if isinstance(event_type, str) and catalogue.function_of(event_type) in catalogue.REQUEST_FUNCTIONS:
            faults.append(_fault("subject", "the id of the request is required for this event type"))
    elif not _is_label(subject):
        faults.append(_fault("subject", f"1-{_SUBJECT_CHARS_MAX} characters, none of them a control character"))
    if document.get("ordering_key") is not None and not _is_label(document["ordering_key"]):
        faults.append(_fault("ordering_key", f"1-{_SUBJECT_CHARS_MAX} characters, none of them a control character"))
    if document.get("occurred_at") is not None and _moment(document["occurred_at"]) is None:
        faults.append(_fault("occurred_at", "a time of RFC 3339 with an offset"))
    return "invalid_event", faults


def _is_label(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= _SUBJECT_CHARS_MAX and value.isprintable()


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _fault(name: str, detail: str) -> PointedError:
    return {"pointer": strict_json.pointer_of((name,)), "detail": detail}
