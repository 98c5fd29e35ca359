"""What the OpenAPI document says of OAuth 2.0 that FastAPI cannot read from the code: forms, ways to authenticate, errors."""

from typing import Any

from fastapi import FastAPI

from credentials.oauth.error_form import OAuthErrorForm
from credentials.oauth.form import PARAMETERS_MAX
from shared.scopes import PLATFORM_SCOPES, TENANT_SCOPES

_TOKEN: dict[str, Any] = {
    "token": {"type": "string", "minLength": 1, "description": "The access token."},
    "token_type_hint": {"type": "string", "description": "Has no effect: there is one type of token."},
}
_SCOPE = "|".join(sorted(TENANT_SCOPES.keys() | PLATFORM_SCOPES))
_AS_CLIENT: list[dict[str, list[str]]] = [{"client": []}, {}]
_AS_CLIENT_OR_BEARER: list[dict[str, list[str]]] = [{"client": []}, {"bearer": []}, {}]
_ERROR_NAMES = (
    *(
        "invalid_request",
        "invalid_client",
        "invalid_scope",
        "invalid_grant",
        "unsupported_grant_type",
        "unauthorized_client",
    ),
    *("unsupported_token_type", "invalid_token", "insufficient_scope", "temporarily_unavailable", "server_error"),
)
_ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "enum": list(_ERROR_NAMES)},
        "error_description": {"type": "string"},
    },
}


def _form(
    properties: dict[str, Any], *, required: list[str], example: dict[str, str], security: list[dict[str, list[str]]]
) -> dict[str, Any]:
    # client_id and client_secret may stand in the form too. They are no properties: beside another credential they are an error.
    schema = {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": {"type": "string"},
        "maxProperties": PARAMETERS_MAX,
    }
    media_type = {"schema": schema, "example": example}
    content = {"application/x-www-form-urlencoded": media_type}
    return {"requestBody": {"required": True, "content": content}, "security": security}


TOKEN_FORM = _form(
    {
        "grant_type": {"type": "string", "enum": ["client_credentials"]},
        "scope": {
            "type": "string",
            "pattern": f"^(({_SCOPE})( ({_SCOPE}))*)?$",
            "description": "Space-separated; by default all scopes of the key.",
        },
    },
    required=["grant_type"],
    example={"grant_type": "client_credentials", "scope": "deliveries:read events:publish"},
    security=_AS_CLIENT,
)
INTROSPECT_FORM = _form(_TOKEN, required=["token"], example={"token": "eyJ…"}, security=_AS_CLIENT_OR_BEARER)
REVOKE_FORM = _form(_TOKEN, required=["token"], example={"token": "eyJ…"}, security=_AS_CLIENT_OR_BEARER)


def install(app: FastAPI) -> None:
    """Give the application the errors of OAuth 2.0, and their place in its document."""
    app.add_middleware(OAuthErrorForm)
    describe = app.openapi

    def describe_with_oauth() -> dict[str, Any]:
        document = describe()
        components = document["components"]
        components["schemas"]["OAuthError"] = _ERROR_SCHEMA
        components["securitySchemes"]["client"] = {
            "type": "http",
            "scheme": "basic",
            "description": "An OAuth client: an API key's id and text; or both in the form, as client_id and client_secret.",
        }
        components["securitySchemes"]["access_token"] = {
            "type": "oauth2",
            "flows": {
                "clientCredentials": {
                    "tokenUrl": "/oauth2/token",
                    "scopes": {
                        **TENANT_SCOPES,
                        **dict.fromkeys(sorted(PLATFORM_SCOPES), "For the platform alone."),
                    },
                }
            },
        }
        return document

    app.openapi = describe_with_oauth  # type: ignore[method-assign]  # FastAPI's documented way to extend it
