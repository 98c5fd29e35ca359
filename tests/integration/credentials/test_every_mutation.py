"""Every call that changes what a credential may do is seen everywhere within a second; no call can be forgotten here."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest

from credentials.app import create_app
from credentials.resources import Resources
from shared.access import AccessClient
from support.apps import client_of
from support.credentials_service import CredentialsService
from support.following_siblings import follow
from support.served_time import served_clock

LIMIT_SECONDS = 1.0
IP = ip_address("192.0.2.1")
SCOPE = "events:publish"
MUTATING = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One tenant with its owner, in which a case plays."""

    service: CredentialsService
    tenant_id: str
    owner: Any

    async def call(self, method: str, path: str, **json: Any) -> dict[str, Any]:
        """Call as the owner; the call has to succeed."""
        answer = await self.owner.request(method, path, json=json or None)
        assert answer.is_success, answer.text
        shown: dict[str, Any] = answer.json() if answer.content else {}
        return shown

    async def key(self, **fields: Any) -> dict[str, Any]:
        """Make a key that may publish."""
        return await self.service.new_key(self.tenant_id, **{"scopes": [SCOPE], **fields})

    async def tenant(self, status: str) -> None:
        """Suspend or activate the tenant."""
        answer = await self.service.platform.patch(f"/v1/tenants/{self.tenant_id}", json={"status": status})
        assert answer.is_success

    def patching(self, key: dict[str, Any], **change: Any) -> "Change":
        """Return the change of a key by ``PATCH``."""
        return lambda: self.call("PATCH", f"/v1/api-keys/{key['id']}", **change)


Change = Callable[[], Awaitable[object]]
Case = Callable[[Scene], Awaitable[tuple[str, Change]]]
"""Prepares, and returns a credential's text and the change of what it may do."""


async def _patch_scopes(scene: Scene) -> tuple[str, Change]:
    key = await scene.key()
    return key["key"], scene.patching(key, scopes=["events:read"])


async def _patch_roles(scene: Scene) -> tuple[str, Change]:
    key = await scene.key(scopes=[], roles=["integration"])
    return key["key"], scene.patching(key, roles=["support"])


async def _patch_addresses(scene: Scene) -> tuple[str, Change]:
    key = await scene.key(allowed_cidrs=["192.0.2.0/24"])
    return key["key"], scene.patching(key, allowed_cidrs=["198.51.100.0/24"])


async def _rotate(scene: Scene) -> tuple[str, Change]:
    key = await scene.key()
    return key["key"], lambda: scene.call("POST", f"/v1/api-keys/{key['id']}/rotate", overlap_seconds=0)


async def _finish(scene: Scene) -> tuple[str, Change]:
    key = await scene.key()
    await scene.call("POST", f"/v1/api-keys/{key['id']}/rotate", overlap_seconds=3600)
    return key["key"], lambda: scene.call("POST", f"/v1/api-keys/{key['id']}/rotate/finish")


async def _undo(scene: Scene) -> tuple[str, Change]:
    key = await scene.key()
    rotated = await scene.call("POST", f"/v1/api-keys/{key['id']}/rotate", overlap_seconds=3600)
    return rotated["key"], lambda: scene.call("POST", f"/v1/api-keys/{key['id']}/rotate/undo")


async def _revoke(scene: Scene) -> tuple[str, Change]:
    key = await scene.key()
    return key["key"], lambda: scene.call("POST", f"/v1/api-keys/{key['id']}/revoke")


async def _revoke_in_overlap(scene: Scene) -> tuple[str, Change]:
    key = await scene.key()
    await scene.call("POST", f"/v1/api-keys/{key['id']}/rotate", overlap_seconds=3600)
    return key["key"], lambda: scene.call("POST", f"/v1/api-keys/{key['id']}/revoke")


async def _delete(scene: Scene) -> tuple[str, Change]:
    key = await scene.key()
    return key["key"], lambda: scene.call("DELETE", f"/v1/api-keys/{key['id']}")


async def _regenerate(scene: Scene) -> tuple[str, Change]:
    pair = await scene.call("POST", "/v1/api-keys/regenerate-pair", environment="live")
    return pair["secret"]["key"], lambda: scene.call("POST", "/v1/api-keys/regenerate-pair", environment="live")


async def _report_leaked(scene: Scene) -> tuple[str, Change]:
    key = await scene.key()
    return key["key"], lambda: scene.call("POST", "/v1/leaked-keys", key=key["key"])


async def _suspend(scene: Scene) -> tuple[str, Change]:
    return (await scene.key())["key"], lambda: scene.tenant("suspended")


async def _patch_own_role(scene: Scene) -> tuple[str, Change]:
    role = await scene.call("POST", "/v1/roles", name="mine", scopes=[SCOPE])
    wanted = {"name": "A", "kind": "secret", "environment": "live", "roles": ["mine"]}
    key = await scene.call("POST", "/v1/api-keys", **wanted)
    return key["key"], lambda: scene.call("PATCH", f"/v1/roles/{role['id']}", scopes=["events:read"])


async def _refresh_token(scene: Scene) -> tuple[str, Change]:
    token = (await scene.call("POST", "/v1/security-token/reveal"))["token"]
    return token, lambda: scene.call("POST", "/v1/security-token/refresh", overlap_seconds=0)


NARROWING: dict[str, tuple[str, Case]] = {
    "scopes": ("PATCH /v1/api-keys/{key_id}", _patch_scopes),
    "roles": ("PATCH /v1/api-keys/{key_id}", _patch_roles),
    "addresses": ("PATCH /v1/api-keys/{key_id}", _patch_addresses),
    "rotate": ("POST /v1/api-keys/{key_id}/rotate", _rotate),
    "finish": ("POST /v1/api-keys/{key_id}/rotate/finish", _finish),
    "undo": ("POST /v1/api-keys/{key_id}/rotate/undo", _undo),
    "revoke": ("POST /v1/api-keys/{key_id}/revoke", _revoke),
    "revoke in overlap": ("POST /v1/api-keys/{key_id}/revoke", _revoke_in_overlap),
    "delete": ("DELETE /v1/api-keys/{key_id}", _delete),
    "regenerate pair": ("POST /v1/api-keys/regenerate-pair", _regenerate),
    "leaked": ("POST /v1/leaked-keys", _report_leaked),
    "suspend": ("PATCH /v1/tenants/{tenant_id}", _suspend),
    "own role": ("PATCH /v1/roles/{role_id}", _patch_own_role),
    "security token": ("POST /v1/security-token/refresh", _refresh_token),
}

NARROWS_NOTHING = {
    "POST /v1/tenants": "makes something new",
    "POST /v1/api-keys": "makes something new",
    "POST /v1/roles": "makes something new",
    "DELETE /v1/roles/{role_id}": "refused while a key holds it",
    "POST /v1/security-token/reveal": "shows",
    "POST /v1/verify": "asks",
}


async def _more_scopes(scene: Scene) -> tuple[str, Change]:
    key = await scene.key(scopes=["events:read"])
    return key["key"], scene.patching(key, scopes=["events:read", SCOPE])


async def _more_addresses(scene: Scene) -> tuple[str, Change]:
    key = await scene.key(allowed_cidrs=["198.51.100.0/24"])
    return key["key"], scene.patching(key, allowed_cidrs=[])


async def _activate(scene: Scene) -> tuple[str, Change]:
    key = await scene.key()
    await scene.tenant("suspended")
    return key["key"], lambda: scene.tenant("active")


WIDENING: dict[str, Case] = {"scopes": _more_scopes, "addresses": _more_addresses, "activate": _activate}


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """Another API process on the same database, and a sibling that follows its feed."""

    process: Resources
    sibling: AccessClient

    async def allow(self, text: str) -> list[bool]:
        """Tell of each whether the credential may publish."""
        principals = [
            await verifier.verify(text, ip=IP, scope=SCOPE) for verifier in (self.process.access, self.sibling)
        ]
        return [principal is not None and SCOPE in principal.scopes for principal in principals]


@pytest.fixture(scope="module")
async def others(service: CredentialsService) -> AsyncIterator[Others]:
    """Return both, warm."""
    # The loops below fail far more often than any caller may.
    app = create_app(service.settings.model_copy(update={"guesses_per_minute": 0}))
    headers = {"x-api-key": service.service_key}
    async with app.router.lifespan_context(app):
        sibling = AccessClient(client_of(app, headers=headers), client_of(app, headers=headers))
        await follow(sibling)
        yield Others(process=app.state.resources, sibling=sibling)
        await sibling.aclose()


async def _scene(service: CredentialsService) -> Scene:
    tenant_id = await service.new_tenant()
    return Scene(service=service, tenant_id=tenant_id, owner=await service.new_owner(tenant_id))


async def _change_and_time(others: Others, text: str, change: Change, *, gains: bool) -> float:
    """Make the change while all is warm, and return after how long both saw it."""
    for _ in range(3):
        assert await others.allow(text) == [not gains] * 2
    await change()
    async with served_clock() as clock, asyncio.timeout(30):
        while await others.allow(text) != [gains] * 2:
            await asyncio.to_thread(int)
        return clock.now()


@pytest.mark.parametrize("name", NARROWING)
async def test_what_narrows_is_seen_by_all(service: CredentialsService, others: Others, name: str) -> None:
    """In another process and in a sibling, though both remember the credential."""
    text, change = await NARROWING[name][1](await _scene(service))
    assert await _change_and_time(others, text, change, gains=False) < LIMIT_SECONDS
    assert await others.allow(text) == [False, False]


@pytest.mark.parametrize("name", WIDENING)
async def test_what_widens_is_seen_by_all(service: CredentialsService, others: Others, name: str) -> None:
    """A denial that is remembered is as wrong as a permission."""
    text, change = await WIDENING[name](await _scene(service))
    assert await _change_and_time(others, text, change, gains=True) < LIMIT_SECONDS


async def test_no_mutating_call_is_forgotten(service: CredentialsService) -> None:
    """Each is in one of the two lists above; the endpoints of OAuth answer for themselves."""
    document = (await service.client().get("/openapi.json")).json()
    calls = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if method.upper() in MUTATING and path.startswith("/v1/")
    }
    assert calls == {call for call, _ in NARROWING.values()} | NARROWS_NOTHING.keys()
