"""Builders for the JSON Schemas (draft 2020-12) of the built-in event types. Pure."""

from typing import Any, Final

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def document(title: str, properties: dict[str, Schema]) -> Schema:
    """Return the schema of an event's ``data``: these properties, none required, others allowed."""
    return {"$schema": DIALECT, "title": title, **record(properties)}


def record(properties: dict[str, Schema], description: str | None = None) -> Schema:
    return _described({"type": "object", "properties": properties}, description)


def anything(description: str | None = None) -> Schema:
    return _described({"type": "object"}, description)


def text(description: str | None = None) -> Schema:
    return _described({"type": "string"}, description)


def number(description: str | None = None) -> Schema:
    return _described({"type": "number"}, description)


def integer(description: str | None = None) -> Schema:
    return _described({"type": "integer"}, description)


def boolean(description: str | None = None) -> Schema:
    return _described({"type": "boolean"}, description)


def constant(value: str) -> Schema:
    return {"const": value}


def choice(*values: str) -> Schema:
    return {"enum": list(values)}


def amount(description: str | None = None) -> Schema:
    """Return the schema of an exact decimal: text by preference, but publishers may send a number."""
    return _described({"type": ["string", "number"]}, description)


def moment(description: str | None = None) -> Schema:
    """Return the schema of an RFC 3339 time."""
    return _described({"type": "string", "format": "date-time"}, description)


def items(item: Schema, description: str | None = None) -> Schema:
    return _described({"type": "array", "items": item}, description)


def by_language(description: str) -> Schema:
    """Return the schema of a text in several languages: ``{"en": "…", "zh": "…"}``."""
    return _described({"type": "object", "additionalProperties": {"type": "string"}}, description)


def or_null(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def _described(schema: Schema, description: str | None) -> Schema:
    return schema if description is None else {**schema, "description": description}
