"""How signed calls stand in the OpenAPI document. Their bodies are read after the signature was judged, so it is told here."""

from typing import Any

from fastapi import Response
from pydantic import BaseModel

from reference_wallet.signed_calls.errors import SignatureRefused
from shared.problems import (
    InternalError,
    PayloadTooLarge,
    Problem,
    RequestTimeout,
    ServiceUnavailable,
    ValidationFailed,
    problem_responses,
)

_ANY_CALL = (SignatureRefused, ValidationFailed, RequestTimeout, PayloadTooLarge, InternalError, ServiceUnavailable)


def signed_call(
    answer: type[BaseModel], *problems: type[Problem], body: type[BaseModel] | None = None
) -> dict[str, Any]:
    """Return the arguments of a route's decorator: the form of its answer and of its body, and its problems."""
    content = {"application/json": {"schema": answer.model_json_schema(mode="serialization")}}
    responses = problem_responses(*problems, *_ANY_CALL, common=False)
    described: dict[str, Any] = {"responses": {200: {"content": content}, **responses}, "response_class": Response}
    if body is not None:
        schema = body.model_json_schema()
        described["openapi_extra"] = {
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}
        }
    return described
