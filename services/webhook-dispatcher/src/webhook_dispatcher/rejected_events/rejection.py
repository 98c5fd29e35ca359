"""A rejected entry: what can be read of it, and the event it stands for. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from shared import strict_json, typeids
from shared.access import Realm
from shared.telemetry import redact
from webhook_dispatcher.events.errors import InvalidEvent
from webhook_dispatcher.events.event import EVENT_BYTES_MAX

KEPT_BYTES_MAX = EVENT_BYTES_MAX
EXCERPT_BYTES = 16 * 1024
"""What is kept of a body that is larger than any event may be."""
_LABEL_CHARS_MAX = 256
_DETAIL_CHARS_MAX = 4_000
_OF_THE_QUEUE = frozenset({"tenant_id", "environment"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An entry that was not accepted. ``entry_id`` is unique within ``source``, a stream or topic."""

    source: str
    entry_id: str
    reason: str
    detail: str
    body: bytes
    default_event_id: str
    """The id of the event if it has none of its own: the same each time the entry is read."""

    @property
    def fingerprint(self) -> bytes:
        """Return what is the same each time this entry is read."""
        return hashlib.sha256(
            b"\0".join((self.source.encode(), self.entry_id.encode("utf-8", "surrogatepass"), self.body))
        ).digest()

    @property
    def kept_entry_id(self) -> str:
        """Return the entry's id as it is kept: a broker's is whatever a publisher wrote there."""
        return _storable(self.entry_id)[:_LABEL_CHARS_MAX]

    @property
    def is_whole(self) -> bool:
        """Tell whether the body is kept whole."""
        return len(self.body) <= KEPT_BYTES_MAX

    @property
    def kept_detail(self) -> str:
        """Return the detail as it is kept and shown: of bounded length, and without what looks like a credential."""
        return _storable(redact(self.detail[:_DETAIL_CHARS_MAX]))

    @property
    def kept_body(self) -> bytes:
        """Return what is kept of the body."""
        return self.body if self.is_whole else self.body[:EXCERPT_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """What an entry says of itself, as far as it can be read."""

    realm: Realm | None
    event_id: str | None
    type: str | None


def read(body: bytes) -> Readable:
    """Return what a body says; of one that is no sound JSON object nothing is believed."""
    try:
        document = strict_json.loads(body)
    except strict_json.MalformedJsonError:
        document = None
    if not isinstance(document, dict):
        return Readable(realm=None, event_id=None, type=None)
    return Readable(realm=_realm(document), event_id=_label(document.get("id")), type=_label(document.get("type")))


def body_of_fields(fields: Mapping[bytes, bytes]) -> bytes:
    """Return the body of an entry that is none of ours: its fields as JSON, for people to look at."""
    return orjson.dumps(
        {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in fields.items()}
    )


def as_published(body: bytes, *, default_id: str, from_queue: bool) -> bytes:
    """Return the body of ``POST /v1/events`` that an entry, or its correction, stands for; ``data`` stays byte by byte.

    What is no sound JSON object is returned as it is: publishing says what is wrong. Raises InvalidEvent for a batch.
    """
    try:
        document = strict_json.loads(body)
    except strict_json.MalformedJsonError:
        return body
    if not isinstance(document, dict):
        return body
    if "events" in document:
        raise InvalidEvent([{"pointer": "/events", "detail": "one event is replayed at a time"}])
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    kept = {name: bytes(raw) for name, raw in fields.items() if not (from_queue and name in _OF_THE_QUEUE)}
    if document.get("id") is None:
        kept["id"] = orjson.dumps(default_id)
    return b"{" + b",".join(orjson.dumps(name) + b":" + raw for name, raw in kept.items()) + b"}"


def _realm(document: Mapping[str, Any]) -> Realm | None:
    tenant, environment = document.get("tenant_id"), document.get("environment", "live")
    if not isinstance(tenant, str) or environment not in ("live", "test"):
        return None
    try:
        return Realm(tenant_id=typeids.decode("ten", tenant), environment=environment)
    except typeids.MalformedIdError:
        return None


def _storable(value: str) -> str:
    """Return a text that PostgreSQL takes: without NUL, and without halves of characters."""
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _label(value: object) -> str | None:
    return value[:_LABEL_CHARS_MAX] if isinstance(value, str) and value.isprintable() else None
