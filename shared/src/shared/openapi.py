"""The OpenAPI document of a service: what FastAPI reads from the code, and what it cannot know. Used by app_factory."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from shared.access.dependencies import required_scope
from shared.problems import (
    FRAME_PROBLEMS,
    CredentialInUrl,
    DuplicateHeader,
    HeadersTooLarge,
    InternalError,
    MalformedHeader,
    UnsupportedMediaType,
    ValidationFailed,
    problem_responses,
)

_SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key or access token."},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "legacy_key": {
        "type": "apiKey",
        "in": "header",
        "name": "key",
        "description": "The older way, for tenants that it is switched on for: the API key.",
    },
    "legacy_signature": {
        "type": "apiKey",
        "in": "header",
        "name": "signature",
        "description": (
            "Beside `key`, of a call with a body: `sha256=` and the hex HMAC-SHA256 of the body's bytes under the API key; or the"
            " upper-case hex SHA-1 of the body's pairs `name=value`, sorted by name and joined by `&`, with the API key appended."
        ),
    },
}
_SECURITY: list[dict[str, list[str]]] = [
    {"bearer": []},
    {"api_key": []},
    {"legacy_key": [], "legacy_signature": []},
    {"legacy_key": []},
]
_OF_ANY_CALL = problem_responses(
    *(CredentialInUrl, DuplicateHeader, MalformedHeader, ValidationFailed, HeadersTooLarge, InternalError), common=False
)
"""What any call can be answered before its own code is reached, also one that takes no credential."""


def document_of(app: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    """Return the application's document; it is made once."""
    if app.openapi_schema:
        return app.openapi_schema
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM_SCHEMA
    components["responses"] = {
        problem.__name__: described
        for problem in FRAME_PROBLEMS
        for described in problem_responses(problem, common=False).values()
    }
    components["securitySchemes"] = _SECURITY_SCHEMES
    for operation in (each for methods in schema["paths"].values() for each in methods.values()):
        for status, described in _OF_ANY_CALL.items():
            operation["responses"].setdefault(str(status), described)
    for route in (route for router in routers for route in router.routes):
        _restore_examples(components["schemas"], getattr(route, "response_model", None))
        scope = required_scope(route)
        if scope is None:
            continue
        for method in getattr(route, "methods", ()):
            operation = schema["paths"][getattr(route, "path_format", "")][method.lower()]
            operation["security"] = _SECURITY
            if "requestBody" in operation:
                status = str(UnsupportedMediaType.status)
                operation["responses"][status] = {"$ref": f"#/components/responses/{UnsupportedMediaType.__name__}"}
            operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`.".strip()
    app.openapi_schema = schema
    return schema


def _restore_examples(schemas: dict[str, Any], model: Any) -> None:
    """Show a model's examples as they were written: FastAPI takes what is null out of them, as out of the whole document."""
    if model is None:
        return
    for name, described in TypeAdapter(list[model]).json_schema(mode="serialization").get("$defs", {}).items():
        if name in schemas and "examples" in described:
            schemas[name]["examples"] = described["examples"]


_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
