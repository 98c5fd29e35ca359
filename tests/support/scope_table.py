"""What holds for the calls of every service about scopes and credentials, checked call by call from a table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from fastapi import FastAPI

from shared import key_format
from shared.scopes import TENANT_SCOPES
from support.sibling_service import SiblingService


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopedCall:
    """One call with the scope that the contract gives it, and what it answers to a key that has this scope alone."""

    method: str
    path: str
    scope: str
    status: int
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    async def send(self, client: httpx2.AsyncClient, **headers: str) -> httpx2.Response:
        """Make the call."""
        return await client.request(self.method, self.path, json=self.body, headers=headers)


def documented_calls(app: FastAPI) -> set[tuple[str, str]]:
    """Return method and path template of every call that the document names."""
    return {
        (method.upper(), path)
        for path, operations in app.openapi()["paths"].items()
        for method in operations
        if path.startswith("/v1/")
    }


def listed_calls(calls: Iterable[tuple[str, str]], templates: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return the same of a table; ``templates`` says which part of a path stands for which parameter."""
    return {(method, "/".join(templates.get(part, part) for part in path.split("/"))) for method, path in calls}


async def check_refused_without_scope(service: SiblingService, tenant_id: str, call: ScopedCall) -> None:
    """403 that names the scope, in the body and in WWW-Authenticate, for a key with every other scope."""
    client = await service.client_with(tenant_id, scopes=sorted(set(TENANT_SCOPES) - {call.scope}))
    answer = await call.send(client)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert call.scope in answer.json()["detail"]
    assert f'scope="{call.scope}"' in answer.headers["www-authenticate"]


async def check_scope_suffices(service: SiblingService, tenant_id: str, call: ScopedCall) -> None:
    """Let a key with that one scope through."""
    client = await service.client_with(tenant_id, scopes=[call.scope])
    answer = await call.send(client)
    assert answer.status_code == call.status, answer.text


async def check_invalid_credentials_are_uniform(service: SiblingService, call: ScopedCall) -> None:
    """None, malformed, unknown, revoked, of another scheme: one 401, so that it says nothing about why."""
    unknown = key_format.generate("secret", "live")
    credentials: list[dict[str, str]] = [
        {},
        {"x-api-key": ""},
        {"x-api-key": "nonsense"},
        {"x-api-key": unknown},
        {"x-api-key": unknown[:-1] + ("0" if unknown[-1] != "0" else "1")},
        {"x-api-key": await _revoked_key(service)},
        {"x-api-key": "x" * 5000},
        {"authorization": f"Bearer {unknown}"},
        {"authorization": f"Basic {unknown}"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer a.b.c"},
    ]
    bodies = set()
    for headers in credentials:
        answer = await call.send(service.client(), **headers, **{"x-request-id": "fixed"})
        assert answer.status_code == 401, headers
        error = ', error="invalid_token"' if headers else ""  # RFC 6750 §3.1
        assert answer.headers["www-authenticate"] == f'Bearer realm="causeway"{error}'
        bodies.add(answer.content)
    assert len(bodies) == 1


_REVOKED: dict[int, str] = {}


async def _revoked_key(service: SiblingService) -> str:
    """Return a key of this service's credentials that was revoked."""
    if id(service) not in _REVOKED:
        tenant_id = await service.credentials.new_tenant()
        made = await service.credentials.new_key(tenant_id, roles=["owner"])
        headers = {"x-tenant-id": tenant_id}
        revoked = await service.credentials.platform.post(f"/v1/api-keys/{made['id']}/revoke", headers=headers)
        assert revoked.status_code == 200, revoked.text
        _REVOKED[id(service)] = made["key"]
    return _REVOKED[id(service)]
