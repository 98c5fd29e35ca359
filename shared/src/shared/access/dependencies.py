"""The dependencies of routes: they authenticate, demand a scope, and name the realm."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, Request

from shared import typeids
from shared.access.presented import check_legacy, is_presented, note_refusal, presented_credential
from shared.key_format import Environment
from shared.principals import (
    AccessUnavailableError,
    Caller,
    PlatformCaller,
    Principal,
    Realm,
    TooManyGuessesError,
)
from shared.problems import (
    InsufficientScope,
    MalformedHeader,
    ServiceUnavailable,
    TenantMismatch,
    TenantRequired,
    TooManyRequests,
    Unauthorized,
)
from shared.rate_limits import RateLimiter
from shared.settings import ServiceSettings

_WINDOW_SECONDS = 60
_LIMITED_KEYS_MAX = 50_000
_ASKS_FOR_OTHERS = "credentials:verify"


def require(scope: str | None) -> Any:
    """Return the dependency that authenticates, demands ``scope`` (None: any credential will do), and names the realm."""

    async def caller(request: Request) -> Caller:
        principal = await authenticate(request, scope)
        result = Caller(
            principal=principal,
            realm=_realm_or_refusal(request, principal),
            request_id=request.state.request_id,
            ip=request.state.ip,
        )
        request.state.caller = result
        return result

    caller.required_scope = scope or "any"  # type: ignore[attr-defined]  # read by the OpenAPI document, see required_scope
    return Depends(caller)


def _realm_or_refusal(request: Request, principal: Principal) -> Realm:
    """Return the realm a request acts in, as ``realm_of``, and have the owner told of one that is not the credential's."""
    try:
        return realm_of(request, principal)
    except TenantMismatch:
        presented = presented_credential(request)
        # Once for each request: StrictRoute authenticates again after a long upload.
        if presented is not None and not getattr(request.state, "refusal_was_told", False):
            request.state.refusal_was_told = True
            note_refusal(request, presented, principal, reason="tenant_mismatch")
        raise


def require_platform(scope: str, *, live: bool = False) -> Any:
    """Return the dependency for calls outside any tenant: a service credential with ``scope``.

    ``live``: of the live environment, for what both have in common; a test credential gets TenantMismatch. Where a call is open
    to test credentials, too, what it may tell or do in the live environment is the call's own care.
    """

    async def caller(request: Request) -> PlatformCaller:
        principal = await authenticate(request, scope)
        if principal.tenant_id is not None:
            raise InsufficientScope(scope)
        if live and principal.environment == "test":
            raise TenantMismatch(
                "A test credential acts in the test environment only; this concerns the live one, too."
            )
        result = PlatformCaller(principal=principal, request_id=request.state.request_id, ip=request.state.ip)
        request.state.caller = result
        return result

    caller.required_scope = scope  # type: ignore[attr-defined]  # see require
    return Depends(caller)


def require_realm_or_platform(scope: str) -> Any:
    """Return the dependency for calls that a realm's credentials make for it, and the platform's also outside any tenant.

    A live service credential that names no tenant is a PlatformCaller; everybody else acts in a realm.
    """

    async def caller(request: Request) -> Caller | PlatformCaller:
        principal = await authenticate(request, scope)
        who = {"principal": principal, "request_id": request.state.request_id, "ip": request.state.ip}
        is_platform = principal.tenant_id is None and principal.environment == "live"
        if is_platform and not any(name in request.headers for name in ("x-tenant-id", "x-environment")):
            result: Caller | PlatformCaller = PlatformCaller(**who)
        else:
            result = Caller(realm=realm_of(request, principal), **who)
        request.state.caller = result
        return result

    caller.required_scope = scope  # type: ignore[attr-defined]  # see require
    return Depends(caller)


def required_scope(route: object) -> str | None:
    """Return the scope a route demands, for its documentation; None where it demands no credential."""
    for dependency in getattr(getattr(route, "dependant", None), "dependencies", ()):
        scope = getattr(dependency.call, "required_scope", None)
        if scope is not None:
            return str(scope)
    return None


async def authenticate(request: Request, scope: str | None) -> Principal:
    """Return the principal of a request's credential, holding ``scope`` (None: any will do).

    Raises MultipleCredentials, Unauthorized, TooManyRequests, InsufficientScope or ServiceUnavailable.
    """
    # StrictRoute has asked before it read the body; the dependency asks again.
    known: Principal | None = getattr(request.state, "authenticated", {}).get(scope)
    if known is not None:
        return known
    presented = presented_credential(request)
    if presented is None:
        raise Unauthorized(was_presented=is_presented(request))
    verify: Callable[..., Awaitable[Principal | None]] = request.app.state.resources.access.verify
    try:
        principal = await verify(presented.text, ip=request.state.ip, scope=scope or "")
    except AccessUnavailableError as exc:
        raise ServiceUnavailable("The credential could not be verified just now; nothing was done.") from exc
    except TooManyGuessesError as exc:
        request.state.allowance = exc.allowance
        raise TooManyRequests(retry_after_seconds=exc.retry_after_seconds) from exc
    if principal is None:
        raise Unauthorized(was_presented=True)
    if presented.is_legacy:
        check_legacy(request, presented, principal)
    request.state.principal = principal
    count_request(request, principal)
    if scope is not None and scope not in principal.scopes:
        raise InsufficientScope(scope)
    request.state.authenticated = {scope: principal}
    return principal


def key_limiter_of(settings: ServiceSettings) -> RateLimiter | None:
    """Return what limits the requests of each credential, None for no limit."""
    if not settings.rate_limit_per_minute:
        return None
    return RateLimiter(
        "key", limit=settings.rate_limit_per_minute, window_seconds=_WINDOW_SECONDS, keys_max=_LIMITED_KEYS_MAX
    )


def count_request(request: Request, principal: Principal) -> None:
    """Count a request of a credential; raises TooManyRequests. A sibling is not limited: it asks for all its callers."""
    limiter: RateLimiter | None = request.app.state.key_limiter
    if limiter is None or _ASKS_FOR_OTHERS in principal.scopes:
        return
    allowance = limiter.take(principal.credential_id)
    request.state.allowance = allowance
    if allowance.retry_after_seconds is not None:
        raise TooManyRequests(retry_after_seconds=allowance.retry_after_seconds)


def realm_of(request: Request, principal: Principal) -> Realm:
    """Return the realm a request acts in; raises TenantRequired, TenantMismatch or MalformedHeader."""
    named_tenant = request.headers.get("x-tenant-id")
    named_environment = request.headers.get("x-environment")
    if named_environment not in {None, "live", "test"}:
        raise MalformedHeader("X-Environment is live or test.")
    try:
        tenant_id = typeids.decode("ten", named_tenant) if named_tenant is not None else None
    except typeids.MalformedIdError as exc:
        raise MalformedHeader("X-Tenant-Id is a ten_… id.") from exc
    if principal.tenant_id is not None:
        if tenant_id not in {None, principal.tenant_id} or named_environment not in {None, principal.environment}:
            raise TenantMismatch
        return Realm(tenant_id=principal.tenant_id, environment=principal.environment)
    if tenant_id is None:
        raise TenantRequired
    environment: Environment = "test" if named_environment == "test" else "live"
    if principal.environment == "test" and environment != "test":
        raise TenantMismatch("A test credential acts in the test environment only: send X-Environment: test.")
    return Realm(tenant_id=tenant_id, environment=environment)
