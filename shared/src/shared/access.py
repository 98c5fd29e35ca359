"""Who calls, and what they may do: the dependency of every route, and the client by which siblings verify credentials.

A sibling never holds the pepper. It asks ``POST /v1/verify`` of credentials, and keeps the answer in process for
``FRESH_SECONDS`` under HMAC(per-process random, credential): a revocation is therefore seen within that time, with no
dependency on Valkey. Used by every service.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
from fastapi import Depends, Request
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import SecretStr

from shared import key_format, typeids
from shared.key_format import Environment
from shared.principals import (
    AccessUnavailableError,
    Address,
    Caller,
    PlatformCaller,
    Principal,
    Realm,
    Verifier,
    principal_from_wire,
    principal_to_wire,
)
from shared.problems import (
    InsufficientScope,
    MalformedHeader,
    MultipleCredentials,
    ServiceUnavailable,
    TenantMismatch,
    TenantRequired,
    Unauthorized,
)
from shared.scopes import FAIL_CLOSED_SCOPES

FRESH_SECONDS = 0.5
"""How long an answer serves without asking again; with the request itself it keeps revocation under one second."""
GRACE_SECONDS = 30.0
"""How long reading may go on with an old answer while credentials does not answer at all."""
ENTRIES_MAX = 50_000
_VERIFY_TIMEOUT_SECONDS = 2.0
_CREDENTIAL_CHARS_MAX = 4096

__all__ = [
    "AccessClient",
    "AccessUnavailableError",
    "Address",
    "Caller",
    "PlatformCaller",
    "Principal",
    "Realm",
    "Verifier",
    "authenticate",
    "principal_from_wire",
    "principal_to_wire",
    "realm_of",
    "require",
    "require_platform",
    "required_scope",
]


@dataclass(slots=True)
class _Entry:
    principal: Principal | None
    read_at: float


@dataclass(slots=True)
class _Question:
    answer: asyncio.Task[_Entry]
    asked_at: float


class AccessClient:
    """The siblings' Verifier: asks credentials, and remembers for half a second."""

    def __init__(self, http: httpx2.AsyncClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._clock = clock
        self._fingerprint_key = secrets.token_bytes(32)
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._questions: dict[bytes, _Question] = {}

    @classmethod
    def open(cls, credentials_url: str, service_key: SecretStr) -> "AccessClient":
        """Make a client; it connects at the first question. ``service_key`` needs ``credentials:verify``."""
        return cls(
            httpx2.AsyncClient(
                base_url=credentials_url,
                headers={"authorization": f"Bearer {service_key.get_secret_value()}"},
                timeout=_VERIFY_TIMEOUT_SECONDS,
                trust_env=False,
                limits=httpx2.Limits(max_connections=50),
            )
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def check(self) -> None:
        """Raise when credentials does not answer; for readiness."""
        (await self._http.get("/livez")).raise_for_status()

    async def verify(self, credential: str, *, ip: Address | None, scope: str) -> Principal | None:
        """Return the principal, or None for any invalid credential; raises AccessUnavailableError.

        ``scope`` decides what happens while credentials does not answer: money, publishing and every change fail closed,
        reading goes on with an answer at most ``GRACE_SECONDS`` old.
        """
        fingerprint = hmac.digest(self._fingerprint_key, f"{credential}\0{ip}".encode(), hashlib.sha256)
        entry = self._entries.get(fingerprint)
        if entry is None or self._clock() - entry.read_at >= FRESH_SECONDS:
            try:
                entry = await self._ask_once(fingerprint, credential, ip)
            except (httpx2.HTTPError, ValueError, KeyError, TypeError) as exc:
                graced = entry is not None and self._clock() - entry.read_at < GRACE_SECONDS
                if entry is None or not graced or scope in FAIL_CLOSED_SCOPES:
                    raise AccessUnavailableError from exc
        principal = entry.principal
        if principal and principal.expires_at is not None and time.time() >= principal.expires_at:
            return None
        return principal

    async def _ask_once(self, fingerprint: bytes, credential: str, ip: Address | None) -> _Entry:
        """Ask; requests that wait for the same answer share one question, as long as it is a fresh one."""
        question = self._questions.get(fingerprint)
        if question is None or self._clock() - question.asked_at >= FRESH_SECONDS:
            asked_at = self._clock()
            question = _Question(asyncio.create_task(self._ask(fingerprint, credential, ip, asked_at)), asked_at)
            self._questions[fingerprint] = question
            question.answer.add_done_callback(lambda _task: self._close(fingerprint, question))
        return await asyncio.shield(question.answer)

    def _close(self, fingerprint: bytes, question: _Question) -> None:
        if self._questions.get(fingerprint) is question:
            del self._questions[fingerprint]
        if not question.answer.cancelled():
            question.answer.exception()  # seen, even where everybody who waited for it has gone

    async def _ask(self, fingerprint: bytes, credential: str, ip: Address | None, asked_at: float) -> _Entry:
        response = await self._http.post(
            "/v1/verify", json={"credential": credential, **({"source_ip": str(ip)} if ip else {})}
        )
        response.raise_for_status()
        answer = response.json()
        # An answer is only as fresh as the moment it was asked for, and an overtaken one does not replace a fresher.
        entry = _Entry(principal_from_wire(answer["principal"]) if answer["valid"] else None, asked_at)
        known = self._entries.get(fingerprint)
        if known is None or known.read_at <= asked_at:
            self._entries[fingerprint] = entry
            self._entries.move_to_end(fingerprint)
        while len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)
        return entry


def require(scope: str) -> Any:
    """Return the dependency that authenticates, demands ``scope``, and names the realm."""

    async def caller(request: Request) -> Caller:
        principal = await authenticate(request, scope)
        result = Caller(
            principal=principal,
            realm=realm_of(request, principal),
            request_id=request.state.request_id,
            ip=request.state.ip,
        )
        request.state.caller = result
        return result

    caller.required_scope = scope  # type: ignore[attr-defined]  # read by the OpenAPI document, see required_scope
    return Depends(caller)


def require_platform(scope: str) -> Any:
    """Return the dependency for calls outside any tenant: a service credential with ``scope``."""

    async def caller(request: Request) -> PlatformCaller:
        principal = await authenticate(request, scope)
        if principal.tenant_id is not None:
            raise InsufficientScope(scope)
        result = PlatformCaller(principal=principal, request_id=request.state.request_id, ip=request.state.ip)
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

    Raises MultipleCredentials, Unauthorized, InsufficientScope or ServiceUnavailable.
    """
    # StrictRoute has asked before it read the body; the dependency asks again.
    known: Principal | None = getattr(request.state, "authenticated", {}).get(scope)
    if known is not None:
        return known
    credential = _credential(request)
    # A JSON Web Token has dots and is judged by credentials; anything else must carry a right checksum.
    if credential is None or ("." not in credential and key_format.parse(credential) is None):
        raise Unauthorized
    verify: Callable[..., Awaitable[Principal | None]] = request.app.state.resources.access.verify
    try:
        principal = await verify(credential, ip=request.state.ip, scope=scope or "")
    except AccessUnavailableError as exc:
        raise ServiceUnavailable("The credential could not be verified just now; nothing was done.") from exc
    if principal is None:
        raise Unauthorized
    if scope is not None and scope not in principal.scopes:
        raise InsufficientScope(scope)
    request.state.authenticated = {scope: principal}
    return principal


def _credential(request: Request) -> str | None:
    authorization = request.headers.get("authorization")
    api_key = request.headers.get("x-api-key")
    if authorization is not None and api_key is not None:
        raise MultipleCredentials
    if authorization is not None:
        scheme, credential = get_authorization_scheme_param(authorization)
        if scheme.lower() != "bearer":
            return None
    else:
        credential = api_key or ""
    return credential if 0 < len(credential) <= _CREDENTIAL_CHARS_MAX else None


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
