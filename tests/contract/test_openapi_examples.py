"""Every request and every answer of every service has an example in its OpenAPI document, valid by its own schema there."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from support.exported_documents import SERVICES, exported_document

DOCUMENTS = {name: exported_document(name) for name in SERVICES}
CALLS = [
    (name, f"{method.upper()} {path}")
    for name, described in DOCUMENTS.items()
    for path, operations in described["paths"].items()
    for method in operations
]
ANSWERS_WITHOUT_BODY = {"POST /oauth2/revoke"}


@pytest.mark.parametrize(("service", "call"), CALLS)
def test_every_request_and_answer_has_a_valid_example(service: str, call: str) -> None:
    """Valid by its own schema, in the document, with its formats."""
    described = DOCUMENTS[service]
    method, path = call.split(" ")
    operation = described["paths"][path][method.lower()]
    bodies = [*operation.get("requestBody", {}).get("content", {}).values()]
    for status, answer in operation["responses"].items():
        contents = [*_resolved(described, answer).get("content", {}).values()]
        assert contents or status == "204" or call in ANSWERS_WITHOUT_BODY
        bodies += contents
    for body in bodies:
        shown = [*_examples(described, body)]
        assert shown, f"no example of {body}"
        schema = {**body.get("schema", {}), "components": described["components"]}
        validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        for example in shown:
            validator.validate(example)


def _resolved(described: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = described
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return _resolved(described, found)


def _examples(described: dict[str, Any], media_type: dict[str, Any]) -> Iterator[Any]:
    """Give the examples of a media type: its own, or those of its schema or of any of its alternatives."""
    if "example" in media_type:
        yield media_type["example"]
    yield from (example["value"] for example in media_type.get("examples", {}).values())
    schema = _resolved(described, media_type.get("schema", {}))
    for alternative in (schema, *(_resolved(described, choice) for choice in schema.get("anyOf", ()))):
        yield from alternative.get("examples", ())
