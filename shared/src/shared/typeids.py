"""Identifiers: UUIDv7 in the database, TypeID text outside (``wh_01j…``).

UUIDv7 is RFC 9562 §5.7; the text form is the TypeID specification 0.3 (prefix, underscore, 26 base32 characters).
Used by every service.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, GetCoreSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic_core import CoreSchema
from typeid import base32
from uuid_utils.compat import uuid7

_SUFFIX_CHARS = 26

NO_ID = UUID(int=0)
"""An id that no object has."""


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


@dataclass(frozen=True, slots=True)
class TypeId:
    """Marks a UUID of a pydantic model as TypeID text on the wire: ``Annotated[UUID, TypeId("wh")]``."""

    prefix: str

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Give pydantic the form of ``typeid_field``."""
        return handler.generate_schema(typeid_field(self.prefix))


@dataclass(frozen=True, slots=True)
class IdInPath(TypeId):
    """The same for an id in a path, where a malformed one becomes an id that nothing has.

    It then takes the way of an unknown id: the same answer, after the same queries.
    """

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Give pydantic the lenient form."""

        def parse(value: object) -> object:
            try:
                return decode(self.prefix, value) if isinstance(value, str) else value
            except MalformedIdError:
                return NO_ID

        schema = {"type": "string", "examples": [encode(self.prefix, NO_ID)]}
        return handler.generate_schema(Annotated[UUID, BeforeValidator(parse), WithJsonSchema(schema)])
