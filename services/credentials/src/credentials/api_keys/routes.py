"""HTTP of API keys."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from credentials.api_keys import changes, service
from credentials.api_keys.callers import require_owner
from credentials.api_keys.errors import ApiKeyRevoked, EnvironmentMismatch, ScopeEscalation
from credentials.api_keys.owner import KeyCaller
from credentials.api_keys.schemas import (
    ApiKeyChange,
    ApiKeyCreate,
    ApiKeyCreated,
    ApiKeyIdInPath,
    ApiKeyListQuery,
    ApiKeyView,
    WhoAmI,
    created_view_of,
    view_of,
    whoami_of,
)
from credentials.security_tokens import service as security_tokens
from credentials.security_tokens.whoami import SecurityTokenWhoAmI, whoami_of_token
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.pagination import Page
from shared.problems import (
    IdempotencyInProgress,
    IdempotencyMismatch,
    NotFound,
    problem_responses,
)
from shared.request_body import StrictRoute

router = APIRouter(prefix="/v1", tags=["api keys"], route_class=StrictRoute)

_SECRETS = frozenset({"key"})


@router.post(
    "/api-keys",
    status_code=201,
    response_model=ApiKeyCreated,
    summary="Make a key",
    responses=problem_responses(
        ScopeEscalation, EnvironmentMismatch, NotFound, IdempotencyInProgress, IdempotencyMismatch
    ),
)
async def create(
    request: Request,
    wanted: ApiKeyCreate,
    caller: Annotated[KeyCaller, require_owner("api_keys:write")],
    session: Transaction,
    idempotency_key: OptionalIdempotencyKey,
) -> Response:
    """Return the new key with its text, which is shown this once."""
    now, peppers = datetime.now(UTC), request.app.state.resources.peppers

    async def make() -> ApiKeyCreated:
        issued = await service.create(session, caller=caller, wanted=wanted, peppers=peppers, now=now)
        return created_view_of(issued.key, text=issued.text.get_secret_value(), now=now)

    return await answer_once(
        session, realm=caller.realm, key=idempotency_key, create=make, secret_fields=_SECRETS, seen_with="api_keys:read"
    )


@router.get("/api-keys", summary="List keys", responses=problem_responses())
async def list_keys(
    query: Annotated[ApiKeyListQuery, Query()],
    caller: Annotated[KeyCaller, require_owner("api_keys:read")],
    session: Transaction,
) -> Page[ApiKeyView]:
    """Return the keys of the caller's tenant, newest first: to a live credential those of both environments.

    A platform credential that names no tenant gets the platform's own service keys.
    """
    return await service.list_keys(session, owner=caller.owner, query=query, now=datetime.now(UTC))


@router.get("/api-keys/{key_id}", summary="Show a key", responses=problem_responses(NotFound))
async def get(
    key_id: ApiKeyIdInPath, caller: Annotated[KeyCaller, require_owner("api_keys:read")], session: Transaction
) -> ApiKeyView:
    """Return one key, without its text."""
    key = await service.get(session, owner=caller.owner, key_id=key_id)
    return view_of(key, now=datetime.now(UTC))


@router.patch(
    "/api-keys/{key_id}",
    summary="Change a key",
    responses=problem_responses(NotFound, ScopeEscalation, EnvironmentMismatch, ApiKeyRevoked),
)
async def change(
    request: Request,
    key_id: ApiKeyIdInPath,
    wanted: ApiKeyChange,
    caller: Annotated[KeyCaller, require_owner("api_keys:write")],
    session: Transaction,
) -> ApiKeyView:
    """Return the changed key; in force everywhere within a second.

    Scopes and roles stay within what the caller has, as on creation. What lets a key do more, or from more places, or for
    longer, needs a caller that has all the key has.
    """
    now, feed = datetime.now(UTC), request.app.state.resources.feed
    return view_of(await changes.change(session, caller=caller, key_id=key_id, wanted=wanted, feed=feed), now=now)


@router.post("/api-keys/{key_id}/revoke", summary="Revoke a key", responses=problem_responses(NotFound))
async def revoke(
    request: Request,
    key_id: ApiKeyIdInPath,
    caller: Annotated[KeyCaller, require_owner("api_keys:write")],
    session: Transaction,
) -> ApiKeyView:
    """End a key everywhere within a second and keep its record; revoking it again changes nothing."""
    now = datetime.now(UTC)
    feed = request.app.state.resources.feed
    return view_of(await service.revoke(session, caller=caller, key_id=key_id, feed=feed, now=now), now=now)


@router.delete("/api-keys/{key_id}", status_code=204, summary="Delete a key", responses=problem_responses(NotFound))
async def remove(
    request: Request,
    key_id: ApiKeyIdInPath,
    caller: Annotated[KeyCaller, require_owner("api_keys:write")],
    session: Transaction,
) -> None:
    """End a key everywhere within a second and delete it for good."""
    await service.remove(session, caller=caller, key_id=key_id, feed=request.app.state.resources.feed)


@router.get("/whoami", summary="Show the caller's own credential", responses=problem_responses())
async def whoami(
    caller: Annotated[KeyCaller, require_owner(None)], session: Transaction
) -> WhoAmI | SecurityTokenWhoAmI:
    """Return the credential this request was made with."""
    if caller.principal.kind == "security_token":
        token = await security_tokens.get_own(session, credential_id=caller.principal.credential_id)
        return whoami_of_token(token, effective_scopes=caller.principal.scopes)
    key = await service.get_own(session, caller=caller)
    return whoami_of(key, effective_scopes=caller.principal.scopes, now=datetime.now(UTC))
