"""Whose keys a call is about: the dependency of the key routes.

A tenant's credential acts on its own realm. A platform credential acts on the tenant it names with ``X-Tenant-Id``, and
without that header on the platform's own service keys.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import Depends, Request

from credentials.api_keys.grants import is_platform
from credentials.audit.service import Actor
from shared.access import Address, Principal, Realm, authenticate, realm_of
from shared.key_format import Environment
from shared.problems import MalformedHeader, TenantMismatch, TenantRequired

_PLATFORM_REALM_ID = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The owner of the keys in question. No tenant: the platform, whose keys are of both environments unless one is named."""

    tenant_id: UUID | None
    environment: Environment | None
    reaches_platform_keys_of: tuple[Environment, ...] = ()
    """By id, a platform credential reaches the platform's own keys also while it names a tenant: a live one all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCaller:
    """A principal in one request about keys."""

    principal: Principal
    owner: Owner
    request_id: str
    ip: Address | None

    @property
    def actor(self) -> Actor:
        """Return who the audit log names."""
        return Actor.of(self.principal, request_id=self.request_id, ip=self.ip)

    @property
    def realm(self) -> Realm:
        """Return the realm in which Idempotency-Keys are told apart."""
        return Realm(
            tenant_id=self.owner.tenant_id or _PLATFORM_REALM_ID,
            environment=self.owner.environment or self.principal.environment,
        )


def require_owner(scope: str | None) -> Any:
    """Return the dependency that authenticates, demands ``scope`` (None: any credential will do), and names the owner."""

    async def caller(request: Request) -> KeyCaller:
        principal = await authenticate(request, scope)
        result = KeyCaller(
            principal=principal,
            owner=_owner(request, principal, scope),
            request_id=request.state.request_id,
            ip=request.state.ip,
        )
        request.state.caller = result
        return result

    caller.required_scope = scope or "any"  # type: ignore[attr-defined]  # read by the OpenAPI document, see shared.access
    return Depends(caller)


def _owner(request: Request, principal: Principal, scope: str | None) -> Owner:
    reached = _platform_keys_of(principal)
    if principal.tenant_id is None and "x-tenant-id" not in request.headers:
        # Belonging to no tenant is not enough to be about the platform's keys; its own credential anybody may ask about.
        if scope is not None and not reached:
            raise TenantRequired
        environment = _named_environment(request, principal)
        return Owner(tenant_id=None, environment=environment, reaches_platform_keys_of=reached)
    realm = realm_of(request, principal)
    return Owner(tenant_id=realm.tenant_id, environment=realm.environment, reaches_platform_keys_of=reached)


def _platform_keys_of(principal: Principal) -> tuple[Environment, ...]:
    if not is_platform(principal):
        return ()
    return ("test",) if principal.environment == "test" else ("live", "test")


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
