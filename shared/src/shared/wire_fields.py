"""Fields of bodies, with their bounds, as every service takes them. Used by every service."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt

NUMBER_MAX = 2**53 - 1
"""Of either sign, whole or not. Beyond it readers of JSON differ in what a number is (RFC 8259 §6)."""
METADATA_KEYS_MAX = 50
_METADATA_KEY_CHARS_MAX = 64
_METADATA_VALUE_CHARS_MAX = 512
_OVERLAP_SECONDS_MAX = 30 * 86_400
OVERLAP_SECONDS_DEFAULT = 86_400


class StrictBody(BaseModel):
    """A body whose unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


def without_controls(value: str) -> str:
    """Return a text of one line; raises ValueError for control characters."""
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in value):  # noqa: PLR2004 - ASCII's control characters
        raise ValueError("control characters are not allowed")
    return value


def _metadata(value: dict[str, str]) -> dict[str, str]:
    for key, content in value.items():
        if len(key) > _METADATA_KEY_CHARS_MAX or len(content) > _METADATA_VALUE_CHARS_MAX or "\0" in key + content:
            raise ValueError("a key has at most 64 characters, a value 512, and neither a NUL")
    return value


Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(without_controls)]
Metadata = Annotated[dict[str, str], Field(max_length=METADATA_KEYS_MAX), AfterValidator(_metadata)]
OverlapSeconds = Annotated[StrictInt, Field(ge=0, le=_OVERLAP_SECONDS_MAX)]
ShownSecret = Annotated[str, Field(description="Absent where an answer is repeated for its Idempotency-Key.")]


def not_null(value: object) -> object:
    """Refuse null, in a change, for a field that is never empty: absent is not null there. For ``mode="before"``."""
    if value is None:
        raise ValueError("cannot be null")
    return value


def document_never_null(names: tuple[str, ...]) -> Callable[[dict[str, Any]], None]:
    """Return the ``json_schema_extra`` that takes null out of the document for fields that ``not_null`` guards."""

    def document(schema: dict[str, Any]) -> None:
        for name in names:
            described = schema["properties"][name]
            choices = [choice for choice in described.pop("anyOf") if choice != {"type": "null"}]
            described.pop("default")
            described.update(choices[0])

    return document
