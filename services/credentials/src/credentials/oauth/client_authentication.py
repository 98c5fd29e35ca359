"""Who asks: an OAuth client by its id and secret (RFC 6749 §2.3.1), which are an API key's id and text, or a bearer."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from fastapi import Request
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import SecretStr

from credentials.oauth.errors import InvalidClient, InvalidRequest, InvalidToken
from shared.access import Principal, authenticate
from shared.problems import InsufficientScope, Unauthorized

VERIFY_SCOPE = "credentials:verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecret:
    """What a client presented to prove who it is."""

    client_id: str
    secret: SecretStr


def presented_secret(request: Request, form: Mapping[str, str]) -> ClientSecret:
    """Return the client's id and secret, by Basic or in the form; raises InvalidClient without them, InvalidRequest for two."""
    _refuse_second_credential(request)
    in_form = form.get("client_id"), form.get("client_secret")
    authorization = request.headers.get("authorization")
    if authorization is None:
        client_id, secret = in_form
    else:
        scheme, encoded = get_authorization_scheme_param(authorization)
        if scheme.lower() != "basic":
            raise InvalidClient
        client_id, secret = _basic(encoded)
        if in_form[1] is not None or in_form[0] not in {None, client_id}:
            raise InvalidRequest("The client authenticates in one way: by Basic, or in the form.")
    if not client_id or not secret:
        raise InvalidClient
    return ClientSecret(client_id=client_id, secret=SecretStr(secret))


def has_bearer(request: Request, form: Mapping[str, str]) -> bool:
    """Tell whether the caller comes with a bearer credential; raises InvalidRequest for one beside a client's secret."""
    _refuse_second_credential(request)
    scheme, _ = get_authorization_scheme_param(request.headers.get("authorization"))
    if scheme.lower() != "bearer":
        return False
    if "client_secret" in form:
        raise InvalidRequest("One credential, please: a bearer, or the client's own.")
    return True


async def require_verifier(request: Request) -> Principal:
    """Return the bearer that may look at all tokens; raises InvalidToken or InsufficientScope."""
    try:
        principal = await authenticate(request, VERIFY_SCOPE)
    except Unauthorized as exc:
        raise InvalidToken from exc
    if principal.tenant_id is not None:
        raise InsufficientScope(VERIFY_SCOPE)
    return principal


def _refuse_second_credential(request: Request) -> None:
    if "x-api-key" in request.headers or "key" in request.headers:
        raise InvalidRequest("Authenticate as OAuth 2.0 says: by Basic, or in the form; not by X-API-Key.")


def _basic(encoded: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as exc:
        raise InvalidClient from exc
    client_id, _, secret = text.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)
