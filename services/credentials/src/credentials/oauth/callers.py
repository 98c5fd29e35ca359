"""Who asks under ``/oauth2/``, and what was sent.

An OAuth client comes with its id and secret (RFC 6749 §2.3.1), which are an API key's id and text; a verifier with a bearer.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from fastapi import Request
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import SecretStr

from credentials.oauth.errors import BodyTooLarge, InvalidClient, InvalidRequest, InvalidToken
from credentials.oauth.form import FORM_BYTES_MAX, MEDIA_TYPE, parse_form
from credentials.oauth.service import Client, ClientSecret, OAuth
from shared.access import PlatformCaller, Principal, authenticate, count_request
from shared.principals import TooManyGuessesError
from shared.problems import InsufficientScope, PayloadTooLarge, TooManyRequests, Unauthorized, UnsupportedMediaType
from shared.request_body import read_body

VERIFY_SCOPE = "credentials:verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was sent, and by whom; ``client`` is None for a bearer that may look at all tokens."""

    form: Mapping[str, str]
    principal: Principal
    client: Client | None


async def asked_by_client(request: Request) -> Asked:
    """Return the request of an authenticated client."""
    return await _of_client(request, await read_form(request))


async def asked_by_client_or_verifier(request: Request) -> Asked:
    """Return the request of an authenticated client, or of a bearer with the scope ``credentials:verify``."""
    form = await read_form(request)
    if not has_bearer(request, form):
        return await _of_client(request, form)
    principal = await require_verifier(request)
    _name_caller(request, principal)
    return Asked(form=form, principal=principal, client=None)


async def _of_client(request: Request, form: Mapping[str, str]) -> Asked:
    oauth: OAuth = request.app.state.resources.oauth
    try:
        client = await oauth.authenticate(presented_secret(request, form), ip=request.state.ip)
    except TooManyGuessesError as exc:
        request.state.allowance = exc.allowance  # the envelope tells it in the standard headers
        raise TooManyRequests(retry_after_seconds=exc.retry_after_seconds) from exc
    count_request(request, client.principal)
    _name_caller(request, client.principal)
    return Asked(form=form, principal=client.principal, client=client)


def _name_caller(request: Request, principal: Principal) -> None:
    request.state.caller = PlatformCaller(principal=principal, request_id=request.state.request_id, ip=request.state.ip)


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the parameters of a request; raises InvalidRequest or BodyTooLarge."""
    if request.url.query:
        raise InvalidRequest("Parameters belong in the body, not in the URL.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise InvalidRequest(f"Send the parameters as {MEDIA_TYPE}.")
    try:
        body = await read_body(request, bytes_max=FORM_BYTES_MAX)
    except PayloadTooLarge as exc:
        raise BodyTooLarge from exc
    except UnsupportedMediaType as exc:
        raise InvalidRequest(exc.detail) from exc
    return parse_form(body)


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
