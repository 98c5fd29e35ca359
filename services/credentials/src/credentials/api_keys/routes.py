"""HTTP of API keys."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from credentials.api_keys import service
from credentials.api_keys.errors import EnvironmentMismatch, ScopeEscalation
from credentials.api_keys.grants import is_platform
from credentials.api_keys.owner import KeyCaller, Owner
from credentials.api_keys.schemas import (
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
from shared.access import Principal, authenticate, realm_of
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.key_format import Environment
from shared.pagination import Page
from shared.problems import (
    IdempotencyInProgress,
    IdempotencyMismatch,
    MalformedHeader,
    NotFound,
    TenantMismatch,
    problem_responses,
)
from shared.request_body import StrictRoute

router = APIRouter(prefix="/v1", tags=["api keys"], route_class=StrictRoute)


def require_owner(scope: str | None) -> Any:
    """Return the dependency that authenticates, demands ``scope`` (None: any credential will do), and names the owner."""

    async def caller(request: Request) -> KeyCaller:
        principal = await authenticate(request, scope)
        result = KeyCaller(
            principal=principal,
            owner=_owner(request, principal),
            request_id=request.state.request_id,
            ip=request.state.ip,
        )
        request.state.caller = result
        return result

    caller.required_scope = scope or "any"  # type: ignore[attr-defined]  # read by the OpenAPI document, see shared.access
    return Depends(caller)


def _owner(request: Request, principal: Principal) -> Owner:
    platform = is_platform(principal)
    if principal.tenant_id is None and "x-tenant-id" not in request.headers:
        return Owner(tenant_id=None, environment=_named_environment(request, principal), reaches_platform_keys=platform)
    realm = realm_of(request, principal)
    return Owner(tenant_id=realm.tenant_id, environment=realm.environment, reaches_platform_keys=platform)


def _named_environment(request: Request, principal: Principal) -> Environment | None:
    """Return the environment whose platform keys are meant, None for both; a test credential means test alone."""
    named = request.headers.get("x-environment")
    if named not in {None, "live", "test"}:
        raise MalformedHeader("X-Environment is live or test.")
    if principal.environment == "test":
        if named == "live":
            raise TenantMismatch
        return "test"
    if named is None:
        return None
    return "test" if named == "test" else "live"


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
        session, realm=caller.realm, key=idempotency_key, create=make, secret_fields=frozenset({"key"})
    )


@router.get("/api-keys", summary="List keys", responses=problem_responses())
async def list_keys(
    query: Annotated[ApiKeyListQuery, Query()],
    caller: Annotated[KeyCaller, require_owner("api_keys:read")],
    session: Transaction,
) -> Page[ApiKeyView]:
    """Return the keys of the caller's tenant and environment, newest first.

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
async def whoami(caller: Annotated[KeyCaller, require_owner(None)], session: Transaction) -> WhoAmI:
    """Return the credential this request was made with."""
    key = await service.get_own(session, caller=caller)
    return whoami_of(key, effective_scopes=caller.principal.scopes, now=datetime.now(UTC))
