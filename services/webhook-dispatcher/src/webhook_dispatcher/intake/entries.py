"""Entries of the stream as they are read: their size, the id of an event that came without one, and what is rejected."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from shared import typeids
from webhook_dispatcher.events.event import InvalidEventError
from webhook_dispatcher.rejected_events.rejection import Rejection, body_of_fields

FIELD = b"event"

Fields = dict[bytes, bytes]
Entry = tuple[bytes, Fields]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An entry that cannot be accepted, and why."""

    entry_id: bytes
    fields: Fields
    code: str
    detail: str


def size_of(entry: Entry) -> int:
    """Return the bytes of an entry's fields; an entry deleted meanwhile has none."""
    return sum(len(name) + len(value) for name, value in (entry[1] or {}).items())


def slices(entries: Sequence[Entry], *, bytes_max: int) -> Iterator[Sequence[Entry]]:
    """Cut entries into runs of at most ``bytes_max`` bytes, or of one entry where that alone is larger."""
    start, size = 0, 0
    for index, entry in enumerate(entries):
        size += size_of(entry)
        if size > bytes_max and index > start:
            yield entries[start:index]
            start, size = index, size_of(entry)
    if entries:
        yield entries[start:]


def default_event_id(stream: str, entry_id: bytes) -> str:
    """Return the id of an event that came without one: the same each time the entry is read, so it is one event."""
    return derived_event_id(stream.encode(), entry_id, milliseconds=int(entry_id.partition(b"-")[0]))


def derived_event_id(source: bytes, entry_id: bytes, *, milliseconds: int) -> str:
    """Return the event id that follows from where an event was found; ``milliseconds`` since 1970 sort it in time."""
    digest = hashlib.sha256(source + b"\0" + entry_id).digest()
    tail = int.from_bytes(digest[:10], "big") & ((1 << 76) - 1)
    bits = ((milliseconds & ((1 << 48) - 1)) << 80) | (0x7 << 76) | tail
    return typeids.encode("evt", UUID(int=(bits & ~(0b11 << 62)) | (0b10 << 62)))


def detail_of(exc: InvalidEventError) -> str:
    """Return the first faults of an event as one line."""
    return "; ".join(f"{error['pointer'] or '(event)'}: {error['detail']}" for error in exc.errors[:10])


def rejected_of(entry_id: bytes, fields: Fields, exc: InvalidEventError) -> Rejected:
    return Rejected(entry_id=entry_id, fields=fields, code=exc.code, detail=detail_of(exc))


def rejection_of(stream: str, item: Rejected) -> Rejection:
    return Rejection(
        source=stream,
        entry_id=item.entry_id.decode(),
        reason=item.code,
        detail=item.detail,
        body=item.fields[FIELD] if item.fields.keys() == {FIELD} else body_of_fields(item.fields),
        default_event_id=default_event_id(stream, item.entry_id),
    )


def position_of(entry_id: bytes) -> tuple[int, int]:
    """Return an entry's place in the stream: milliseconds and a number within them."""
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)
