"""Identifiers: UUIDv7 in the database, TypeID text outside (``wh_01j…``).

UUIDv7 is RFC 9562 §5.7; the text form is the TypeID specification 0.3 (prefix, underscore, 26 base32 characters).
Used by every service.
"""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from typeid import base32
from uuid_utils.compat import uuid7

_SUFFIX_CHARS = 26


class MalformedIdError(ValueError):
    """A text is not an id of the wanted type. Callers show it as "not found": such an object cannot exist."""

    def __init__(self, prefix: str) -> None:
        super().__init__(f"not an id of the form {prefix}_…")
        self.prefix = prefix


def new_id() -> UUID:
    """Return a new UUIDv7: time-ordered to the millisecond, random after it."""
    return uuid7()


def encode(prefix: str, value: UUID) -> str:
    """Return the TypeID text of ``value``, for example ``wh_01j9…``."""
    return f"{prefix}_{base32.encode(value.bytes)}"


def decode(prefix: str, text: str) -> UUID:
    """Return the UUID in a TypeID text; raises MalformedIdError for another prefix or a malformed suffix."""
    head, _, suffix = text.rpartition("_")
    # The first of the 26 characters holds three bits: a larger one would not fit into 128 bits.
    if head != prefix or len(suffix) != _SUFFIX_CHARS or suffix[0] > "7":
        raise MalformedIdError(prefix)
    try:
        return UUID(bytes=bytes(base32.decode(suffix)))
    except (RuntimeError, ValueError) as exc:
        raise MalformedIdError(prefix) from exc


def created_at(value: UUID) -> datetime:
    """Return the UTC time, to the millisecond, that a UUIDv7 carries."""
    return datetime.fromtimestamp((value.int >> 80) / 1000, tz=UTC)


def lower_bound(moment: datetime) -> UUID:
    """Return the smallest UUID that a UUIDv7 made at ``moment`` (or later) can have; for ranges over id columns."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return UUID(int=(milliseconds << 80))


def typeid_field(prefix: str) -> Any:
    """Return an annotated UUID type for pydantic models: TypeID text on the wire, UUID inside."""

    def parse(value: object) -> object:
        return decode(prefix, value) if isinstance(value, str) else value

    return Annotated[
        UUID,
        BeforeValidator(parse),
        PlainSerializer(lambda value: encode(prefix, value), return_type=str),
        WithJsonSchema({"type": "string", "pattern": f"^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"}),
    ]
