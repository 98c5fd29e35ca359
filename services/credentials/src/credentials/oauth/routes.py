"""HTTP of OAuth 2.0 and of what the server publishes about itself."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from credentials.audit.service import Actor
from credentials.oauth import errors
from credentials.oauth.callers import Asked, asked_by_client, asked_by_client_or_verifier
from credentials.oauth.documentation import INTROSPECT_FORM, REVOKE_FORM, TOKEN_FORM
from credentials.oauth.error_form import documented
from credentials.oauth.schemas import Active, Inactive, Jwks, Metadata, TokenAnswer, jwks_of, metadata_of
from shared.database import Transaction
from shared.problems import (
    HeadersTooLarge,
    InsufficientScope,
    InternalError,
    RequestTimeout,
    ServiceUnavailable,
    TooManyRequests,
    ValidationFailed,
    problem_responses,
)

router = APIRouter(tags=["oauth 2.0"])

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_PUBLIC = {"Cache-Control": "public, max-age=60"}
_COMMON = (
    *(errors.InvalidRequest, errors.BodyTooLarge, errors.InvalidClient, RequestTimeout, ValidationFailed),
    *(TooManyRequests, HeadersTooLarge, InternalError, ServiceUnavailable),
)
_WITH_BEARER = (*_COMMON, errors.InvalidToken, InsufficientScope)


def _answer(body: TokenAnswer | Active | Inactive) -> Response:
    return Response(body.model_dump_json(), media_type="application/json", headers=_NO_STORE)


@router.post(
    "/oauth2/token",
    response_model=TokenAnswer,
    summary="Get an access token",
    responses=documented(*_COMMON, errors.UnsupportedGrantType, errors.InvalidScope, errors.InvalidGrant),
    openapi_extra=TOKEN_FORM,
)
async def token(request: Request, asked: Annotated[Asked, Depends(asked_by_client)]) -> Response:
    """Return an access token for the client's own key (RFC 6749 §4.4): the client's id is the key's, its secret the key's text.

    They come by Basic, or in the form as ``client_id`` and ``client_secret``; not in both.

    Without ``scope`` it has all the key's scopes. It lives five minutes at most, and never longer than the key.
    """
    assert asked.client is not None
    return _answer(await request.app.state.resources.oauth.issue(asked.client, asked.form))


@router.post(
    "/oauth2/introspect",
    response_model=Active | Inactive,
    summary="Ask about an access token",
    responses=documented(*_WITH_BEARER),
    openapi_extra=INTROSPECT_FORM,
)
async def introspect(request: Request, asked: Annotated[Asked, Depends(asked_by_client_or_verifier)]) -> Response:
    """Tell whether a token is good at this moment, and what it says (RFC 7662).

    A client is told about its own tokens, a bearer with the scope ``credentials:verify`` about all, a test one about
    those of the test environment. Clients authenticate as at the token endpoint.
    """
    return _answer(
        await request.app.state.resources.oauth.introspect(asked.form, asker=asked.principal, client=asked.client)
    )


@router.post(
    "/oauth2/revoke",
    response_class=Response,
    summary="Revoke an access token",
    responses={
        200: {"description": "It is revoked, or was no good token anyway"},
        **documented(*_WITH_BEARER, errors.UnauthorizedClient, errors.UnsupportedTokenType),
    },
    openapi_extra=REVOKE_FORM,
)
async def revoke(
    request: Request, asked: Annotated[Asked, Depends(asked_by_client_or_verifier)], session: Transaction
) -> Response:
    """End a token everywhere within a second (RFC 7009); for one that is not good anyway, nothing changes.

    A client ends its own tokens, a bearer with the scope ``credentials:verify`` any, a test one those of the test environment.
    Clients authenticate as at the token endpoint.
    """
    actor = Actor.of(asked.principal, request_id=request.state.request_id, ip=request.state.ip)
    oauth = request.app.state.resources.oauth
    await oauth.revoke(session, asked.form, asker=asked.principal, client=asked.client, actor=actor)
    return Response(status_code=200, headers=_NO_STORE)


@router.get(
    "/.well-known/oauth-authorization-server",
    summary="Describe the authorization server",
    responses=problem_responses(InternalError, common=False),
)
async def metadata(request: Request, response: Response) -> Metadata:
    """Return the server's metadata (RFC 8414)."""
    response.headers.update(_PUBLIC)
    return metadata_of(request.app.state.settings.issuer)


@router.get(
    "/.well-known/jwks.json",
    summary="List the keys that sign access tokens",
    responses=problem_responses(InternalError, ServiceUnavailable, common=False),
)
async def jwks(request: Request, response: Response) -> Jwks:
    """Return the public keys (RFC 7517): the one that signs, the next one, and those whose tokens may still live."""
    response.headers.update(_PUBLIC)
    return jwks_of(*await request.app.state.resources.oauth.keys.published())
