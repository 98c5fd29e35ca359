"""HTTP of tenants: calls of the platform alone."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from credentials.audit.service import PLATFORM_CHAIN, Actor
from credentials.tenants import service
from credentials.tenants.schemas import TenantChange, TenantCreate, TenantIdInPath, TenantView, view_of
from shared.access import PlatformCaller, Realm, require_platform
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.pagination import Page, PageQuery
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute

router = APIRouter(prefix="/v1/tenants", tags=["tenants"], route_class=StrictRoute)


@router.post(
    "",
    status_code=201,
    response_model=TenantView,
    summary="Make a tenant",
    responses=problem_responses(IdempotencyInProgress, IdempotencyMismatch),
)
async def create(
    request: Request,
    wanted: TenantCreate,
    caller: Annotated[PlatformCaller, require_platform("tenants:write", live=True)],
    session: Transaction,
    idempotency_key: OptionalIdempotencyKey,
) -> Response:
    """Return the new tenant. Its first key is made by a platform credential that names it with ``X-Tenant-Id``."""
    now, issuer = datetime.now(UTC), request.app.state.resources.token_issuer

    async def make() -> TenantView:
        actor = _actor(caller)
        return view_of(await service.create(session, actor=actor, wanted=wanted, issuer=issuer, now=now))

    realm = Realm(tenant_id=PLATFORM_CHAIN, environment=caller.principal.environment)
    return await answer_once(session, realm=realm, key=idempotency_key, create=make, seen_with="tenants:read")


@router.get("", summary="List tenants", responses=problem_responses())
async def list_tenants(
    query: Annotated[PageQuery, Query()],
    _caller: Annotated[PlatformCaller, require_platform("tenants:read")],
    session: Transaction,
) -> Page[TenantView]:
    """Return all tenants, newest first."""
    return await service.list_tenants(session, query=query)


@router.get("/{tenant_id}", summary="Show a tenant", responses=problem_responses(NotFound))
async def get(
    tenant_id: TenantIdInPath,
    _caller: Annotated[PlatformCaller, require_platform("tenants:read")],
    session: Transaction,
) -> TenantView:
    """Return one tenant."""
    return view_of(await service.get(session, tenant_id=tenant_id))


@router.patch("/{tenant_id}", summary="Rename, suspend or activate a tenant", responses=problem_responses(NotFound))
async def change(
    request: Request,
    tenant_id: TenantIdInPath,
    wanted: TenantChange,
    caller: Annotated[PlatformCaller, require_platform("tenants:write", live=True)],
    session: Transaction,
) -> TenantView:
    """Return the changed tenant. Suspension denies every credential of the tenant within a second."""
    feed = request.app.state.resources.feed
    return view_of(await service.change(session, actor=_actor(caller), tenant_id=tenant_id, wanted=wanted, feed=feed))


def _actor(caller: PlatformCaller) -> Actor:
    return Actor.of(caller.principal, request_id=caller.request_id, ip=caller.ip)
