"""Wire shapes of event types (``/v1/event-types``)."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.event_types.event_type import EventType
from webhook_dispatcher.event_types.json_schema import DIALECT
from webhook_dispatcher.event_types.realm_type import NAME_CHARS_MAX, NAME_PATTERN, RealmType
from webhook_dispatcher.examples import shown

_OWN_SCHEMA: dict[str, Any] = {
    "$schema": DIALECT,
    "type": "object",
    "required": ["points"],
    "properties": {"points": {"type": "integer", "minimum": 1}, "reason": {"type": "string", "maxLength": 200}},
}
_OWN_EXAMPLE: dict[str, Any] = {
    "name": "loyalty.points_earned",
    "description": "A client earned loyalty points.",
    "json_schema": _OWN_SCHEMA,
    "example": {"points": 120, "reason": "first deposit"},
}


def _printable(value: str) -> str:
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in value):  # noqa: PLR2004 - ASCII's control characters
        raise ValueError("control characters are not allowed")
    return value


Name = Annotated[
    str,
    Field(
        max_length=NAME_CHARS_MAX,
        pattern=NAME_PATTERN,
        description="Dotted, lower case; the part before the first dot is not that of a built-in function.",
    ),
]
Description = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_printable)]
JsonSchema = Annotated[
    dict[str, Any],
    Field(
        description="JSON Schema (draft 2020-12) of an event's `data`, up to 64 KiB. References stay within it and are not"
        " recursive; patterns match in linear time (no look-around or back-references); `format` is an annotation."
    ),
]
Example = Annotated[dict[str, Any], Field(description="An event's `data` that fits the schema, up to 64 KiB.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EventTypeIn(_Strict):
    """The body of ``POST /v1/event-types``."""

    model_config = ConfigDict(json_schema_extra=shown(_OWN_EXAMPLE))

    name: Name
    description: Description
    json_schema: JsonSchema
    example: Example


_PATCHABLE = ("description", "json_schema", "example")


def _document_never_null(schema: dict[str, Any]) -> None:
    for name in _PATCHABLE:
        described = schema["properties"][name]
        choices = [choice for choice in described.pop("anyOf") if choice != {"type": "null"}]
        described.pop("default")
        described.update(choices[0])
    schema["examples"] = [{"description": "A client earned loyalty points, or was given some."}]


class EventTypePatch(_Strict):
    """The body of ``PATCH /v1/event-types/{name}``: the fields to change; schema and example must fit one another afterwards."""

    model_config = ConfigDict(json_schema_extra=_document_never_null)

    description: Description | None = None
    json_schema: JsonSchema | None = None
    example: Example | None = None

    @field_validator(*_PATCHABLE, mode="before")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("cannot be null")
        return value


class EventTypeOut(BaseModel):
    """An event type. The schema (draft 2020-12) and the example are those of an event's `data`."""

    model_config = ConfigDict(json_schema_extra=shown({**_OWN_EXAMPLE, "function": "loyalty", "built_in": False}))

    name: str
    function: str
    description: str
    json_schema: dict[str, Any]
    example: dict[str, Any]
    built_in: bool = Field(description="Whether it comes with Causeway.")

    @classmethod
    def of(cls, event_type: EventType | RealmType) -> Self:
        """Return the wire shape of a type."""
        return cls(
            name=event_type.name,
            function=catalogue.function_of(event_type.name),
            description=event_type.description,
            json_schema=dict(event_type.json_schema),
            example=dict(event_type.example),
            built_in=isinstance(event_type, EventType),
        )
