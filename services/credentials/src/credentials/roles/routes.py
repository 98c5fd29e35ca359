"""HTTP of roles."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from credentials.api_keys.errors import ScopeEscalation
from credentials.roles import service
from credentials.roles.errors import BuiltInRole, RoleInUse, RoleNameTaken
from credentials.roles.schemas import RoleChange, RoleCreate, RoleIdInPath, RoleView, view_of
from shared.access import Caller, require
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.pagination import Page, PageQuery
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute

router = APIRouter(prefix="/v1/roles", tags=["roles"], route_class=StrictRoute)


@router.get("", summary="List roles", responses=problem_responses())
async def list_roles(
    query: Annotated[PageQuery, Query()], caller: Annotated[Caller, require("roles:read")], session: Transaction
) -> Page[RoleView]:
    """Return the roles of the caller's tenant and environment, newest first, then the built-in ones."""
    return await service.list_roles(session, realm=caller.realm, query=query)


@router.post(
    "",
    status_code=201,
    response_model=RoleView,
    summary="Make a role",
    responses=problem_responses(ScopeEscalation, NotFound, RoleNameTaken, IdempotencyInProgress, IdempotencyMismatch),
)
async def create(
    wanted: RoleCreate,
    caller: Annotated[Caller, require("roles:write")],
    session: Transaction,
    idempotency_key: OptionalIdempotencyKey,
) -> Response:
    """Return the new role. It grants no more than its maker has."""

    async def make() -> RoleView:
        return view_of(await service.create(session, caller=caller, wanted=wanted, now=datetime.now(UTC)))

    return await answer_once(session, realm=caller.realm, key=idempotency_key, create=make, seen_with="roles:read")


@router.patch(
    "/{role_id}",
    summary="Change a role",
    responses=problem_responses(ScopeEscalation, NotFound, BuiltInRole, RoleNameTaken, RoleInUse),
)
async def change(
    request: Request,
    role_id: RoleIdInPath,
    wanted: RoleChange,
    caller: Annotated[Caller, require("roles:write")],
    session: Transaction,
) -> RoleView:
    """Return the changed role; every key that holds it has the new scopes within a second.

    Scopes that are added must be the caller's own. The name is what keys refer to: it changes only while none holds the role.
    """
    feed, now = request.app.state.resources.feed, datetime.now(UTC)
    return view_of(await service.change(session, caller=caller, role_id=role_id, wanted=wanted, feed=feed, now=now))


@router.delete(
    "/{role_id}",
    status_code=204,
    summary="Delete a role",
    responses=problem_responses(NotFound, BuiltInRole, RoleInUse),
)
async def remove(
    request: Request, role_id: RoleIdInPath, caller: Annotated[Caller, require("roles:write")], session: Transaction
) -> None:
    """Delete a role that no key holds; a revoked key does not count."""
    await service.remove(session, caller=caller, role_id=role_id, feed=request.app.state.resources.feed)
