"""Wire shapes of OAuth 2.0: RFC 6749 §5.1, RFC 7662 §2.2, RFC 8414 §2, RFC 7517 §5."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from shared.access.jwt import ALGORITHM, AUDIENCE, TOKEN_ID_PREFIX, AccessToken
from shared.scopes import PLATFORM_SCOPES, TENANT_SCOPES
from shared.typeids import encode

_CLIENT_METHODS = ["client_secret_basic", "client_secret_post"]
_JWK_EXAMPLE: dict[str, Any] = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "kid": "sig_01j9zq3s8hf3mbq5w7t2k4v6xy",
    "use": "sig",
    "alg": "ES256",
}


class TokenAnswer(BaseModel):
    """An access token, and for how many seconds it is good."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access_token": "eyJ…",
                    "token_type": "Bearer",
                    "expires_in": 300,
                    "scope": "deliveries:read events:publish",
                }
            ]
        }
    )

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a type, no secret
    expires_in: int
    scope: str


class Inactive(BaseModel):
    """A token that is not good, or not for the caller to know about."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"active": False}]})

    active: Literal[False] = False


class Active(BaseModel):
    """A token that is good at this moment."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "active": True,
                    "scope": "deliveries:read events:publish",
                    "client_id": "key_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "token_type": "Bearer",
                    "exp": 1893456300,
                    "iat": 1893456000,
                    "sub": "key_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "aud": AUDIENCE,
                    "iss": "https://credentials.example",
                    "jti": "tok_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "credential_id": "key_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "tenant_id": "ten_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "environment": "live",
                    "kind": "secret",
                }
            ]
        }
    )

    active: Literal[True] = True
    scope: str
    client_id: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a type, no secret
    exp: int
    iat: int
    sub: str
    aud: str
    iss: str
    jti: str
    credential_id: str
    tenant_id: str | None
    environment: Literal["live", "test"]
    kind: Literal["secret", "public", "service"]


def _show_example(schema: dict[str, Any]) -> None:
    schema["examples"] = [metadata_of("https://credentials.example").model_dump()]


class Metadata(BaseModel):
    """Where everything of this authorization server is, and what it can do."""

    model_config = ConfigDict(json_schema_extra=_show_example)

    issuer: str
    token_endpoint: str
    introspection_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    service_documentation: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    scopes_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    access_token_signing_alg_values_supported: list[str]


class Jwk(BaseModel):
    """A public key that signs access tokens, or did or will."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str
    y: str
    kid: str
    use: Literal["sig"]
    alg: Literal["ES256"]


class Jwks(BaseModel):
    """The published keys. ``sequence`` is where the revocation feed stood when they were read: for services that follow it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keys": [_JWK_EXAMPLE], "sequence": 4711}]})

    keys: list[Jwk]
    sequence: int


def active_of(token: AccessToken, *, issuer: str) -> Active:
    """Return what introspection says of a good token."""
    return Active(
        scope=" ".join(sorted(token.scopes)),
        client_id=token.credential_id,
        exp=token.expires_at,
        iat=token.issued_at,
        sub=token.credential_id,
        aud=AUDIENCE,
        iss=issuer,
        jti=encode(TOKEN_ID_PREFIX, token.token_id),
        credential_id=token.credential_id,
        tenant_id=encode("ten", token.tenant_id) if token.tenant_id else None,
        environment=token.environment,
        kind=_kind(token),
    )


def metadata_of(issuer: str) -> Metadata:
    """Return the server's metadata; clients find it below the issuer's own URL."""
    return Metadata(
        issuer=issuer,
        token_endpoint=f"{issuer}/oauth2/token",
        introspection_endpoint=f"{issuer}/oauth2/introspect",
        revocation_endpoint=f"{issuer}/oauth2/revoke",
        jwks_uri=f"{issuer}/.well-known/jwks.json",
        service_documentation=f"{issuer}/docs",
        grant_types_supported=["client_credentials"],
        response_types_supported=[],
        scopes_supported=sorted(TENANT_SCOPES.keys() | PLATFORM_SCOPES),
        token_endpoint_auth_methods_supported=_CLIENT_METHODS,
        introspection_endpoint_auth_methods_supported=[*_CLIENT_METHODS, "Bearer"],
        revocation_endpoint_auth_methods_supported=[*_CLIENT_METHODS, "Bearer"],
        access_token_signing_alg_values_supported=[ALGORITHM],
    )


def jwks_of(keys: Sequence[dict[str, Any]], sequence: int) -> Jwks:
    """Return the published form of the keys."""
    return Jwks(keys=[Jwk(**key) for key in keys], sequence=sequence)


def _kind(token: AccessToken) -> Literal["secret", "public", "service"]:
    assert token.kind != "security_token"
    return token.kind
