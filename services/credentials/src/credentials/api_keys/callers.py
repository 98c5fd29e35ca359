"""The dependency of the routes about keys and their like: who calls, and whose keys the call is about."""

from typing import Any

from fastapi import Depends, Request

from credentials.api_keys.grants import is_platform
from credentials.api_keys.owner import KeyCaller, Owner
from shared.access import Principal, authenticate, realm_of
from shared.key_format import Environment
from shared.problems import MalformedHeader, TenantMismatch, TenantRequired


def require_owner(scope: str | None, *, within_realm: bool = False) -> Any:
    """Return the dependency that authenticates, demands ``scope`` (None: any credential will do), and names the owner.

    A live credential manages the tenant's keys of both environments; with ``within_realm`` it is told of its own alone.
    """

    async def caller(request: Request) -> KeyCaller:
        principal = await authenticate(request, scope)
        result = KeyCaller(
            principal=principal,
            owner=_owner(request, principal, scope, within_realm=within_realm),
            request_id=request.state.request_id,
            ip=request.state.ip,
        )
        request.state.caller = result
        return result

    caller.required_scope = scope or "any"  # type: ignore[attr-defined]  # read by the OpenAPI document, see shared.access
    return Depends(caller)


def _owner(request: Request, principal: Principal, scope: str | None, *, within_realm: bool) -> Owner:
    reached = _platform_keys_of(principal)
    if principal.tenant_id is None and "x-tenant-id" not in request.headers:
        # Belonging to no tenant is not enough to be about the platform's keys; its own credential anybody may ask about.
        if scope is not None and not reached:
            raise TenantRequired
        environment = _named_environment(request, principal)
        return Owner(tenant_id=None, environment=environment, reaches_platform_keys_of=reached)
    realm = realm_of(request, principal)
    environment = realm.environment if within_realm else _named_environment(request, principal)
    return Owner(tenant_id=realm.tenant_id, environment=environment, reaches_platform_keys_of=reached)


def _platform_keys_of(principal: Principal) -> tuple[Environment, ...]:
    if not is_platform(principal):
        return ()
    return ("test",) if principal.environment == "test" else ("live", "test")


def _named_environment(request: Request, principal: Principal) -> Environment | None:
    """Return the environment whose keys are meant, None for both; a test credential means test alone."""
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
