"""Denials: one uniform answer for the caller, the exact reason in the owner's log, and no flood of entries."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from credentials.app import create_app
from credentials.audit import denials as denials_module
from shared import key_format
from shared.access import AccessClient
from support.apps import client_of, on_socket
from support.credentials_service import CredentialsService
from support.queries import recorded_statements

PATH = "/v1/audit-log"
Denial = Callable[[CredentialsService, str], Awaitable[dict[str, Any]]]


async def denials_of(service: CredentialsService, tenant_id: str, **query: str) -> list[dict[str, Any]]:
    """Return the denials in a tenant's log, newest first."""
    params = {"action": "access.denied", **query}
    answer = await service.platform.get(PATH, params=params, headers={"x-tenant-id": tenant_id})
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["data"]
    return entries


async def _revoked(service: CredentialsService, tenant_id: str) -> dict[str, Any]:
    key = await service.new_key(tenant_id)
    await service.platform.post(f"/v1/api-keys/{key['id']}/revoke", headers={"x-tenant-id": tenant_id})
    return key


async def _expired(service: CredentialsService, tenant_id: str) -> dict[str, Any]:
    key = await service.new_key(tenant_id)
    async with service.resources.database.connection() as connection:
        await connection.exec_driver_sql(
            "UPDATE api_keys SET expires_at = now() WHERE name = 'test' AND revoked_at IS NULL"
        )
    return key


async def _elsewhere(service: CredentialsService, tenant_id: str) -> dict[str, Any]:
    return await service.new_key(tenant_id, allowed_cidrs=["192.0.2.0/24"])


async def _suspended(service: CredentialsService, tenant_id: str) -> dict[str, Any]:
    key = await service.new_key(tenant_id)
    await service.platform.patch(f"/v1/tenants/{tenant_id}", json={"status": "suspended"})
    return key


async def _ended(service: CredentialsService, tenant_id: str) -> dict[str, Any]:
    key = await service.new_key(tenant_id)
    headers = {"x-tenant-id": tenant_id}
    rotated = await service.platform.post(
        f"/v1/api-keys/{key['id']}/rotate", json={"overlap_seconds": 0}, headers=headers
    )
    assert rotated.is_success, rotated.text
    return key


DENIED: dict[str, Denial] = {
    "revoked": _revoked,
    "expired": _expired,
    "address_not_allowed": _elsewhere,
    "tenant_suspended": _suspended,
    "version_ended": _ended,
}


@pytest.mark.parametrize("reason", DENIED)
async def test_the_caller_is_told_nothing_and_the_owner_everything(service: CredentialsService, reason: str) -> None:
    """The same 401 as for a key that never was; in the log the credential, the reason, the address and the request."""
    tenant_id = await service.new_tenant()
    key = await DENIED[reason](service, tenant_id)
    denied = await service.client(key["key"], client_ip="198.51.100.7").get(
        "/v1/whoami", headers={"x-request-id": f"denied-{reason}"}
    )
    never_was = await service.client(key_format.generate("secret", "live")).get("/v1/whoami")
    assert denied.status_code == never_was.status_code == 401
    assert {**denied.json(), "request_id": ""} == {**never_was.json(), "request_id": ""}
    assert denied.headers["www-authenticate"] == never_was.headers["www-authenticate"]
    (entry,) = await denials_of(service, tenant_id)
    assert (entry["outcome"], entry["reason"]) == ("denied", reason)
    assert entry["actor"] == entry["target"] == {"kind": "api_key", "id": key["id"]}
    assert (entry["ip"], entry["request_id"]) == ("198.51.100.7", f"denied-{reason}")
    assert entry["changes"]["count"] == 1
    assert datetime.now(UTC) - datetime.fromisoformat(entry["at"]) < timedelta(seconds=30)
    assert key["key"][16:-4] not in str(entry)


async def test_a_missing_scope_is_named(service: CredentialsService) -> None:
    """Each missing scope has an entry of its own."""
    tenant_id = await service.new_tenant()
    key = await service.new_key(tenant_id)
    client = service.client(key["key"])
    for path in ("/v1/roles", "/v1/api-keys", "/v1/roles"):
        assert (await client.get(path)).status_code == 403
    entries = await denials_of(service, tenant_id)
    assert {(entry["reason"], entry["changes"]["scope"], entry["changes"]["count"]) for entry in entries} == {
        ("scope_missing", "roles:read", 2),
        ("scope_missing", "api_keys:read", 1),
    }


async def test_other_refusals_are_told_by_their_code(service: CredentialsService) -> None:
    """An escalation, a key of another environment, and another tenant's or environment's name in a header."""
    tenant_id = await service.new_tenant()
    maker = service.client((await service.new_key(tenant_id, scopes=["api_keys:write", "roles:write"]))["key"])
    wanted = {"name": "A", "kind": "secret", "environment": "live", "scopes": ["events:read"]}
    await maker.post("/v1/api-keys", json=wanted)
    of_test = {**wanted, "environment": "test", "scopes": []}
    await maker.post("/v1/api-keys", json=of_test, headers={"x-environment": "live"})
    await maker.post("/v1/roles", json={"name": "A", "scopes": ["events:read"]})
    await maker.post("/v1/roles", json={"name": "A"}, headers={"x-tenant-id": await service.new_tenant()})
    await maker.post("/v1/roles", json={"name": "A"}, headers={"x-environment": "test"})
    entries = await denials_of(service, tenant_id)
    assert {(entry["reason"], entry["changes"]["count"]) for entry in entries} == {
        ("scope_escalation", 2),
        ("tenant_mismatch", 2),
        ("environment_mismatch", 1),
    }


async def test_a_security_tokens_denials_are_told_too(service: CredentialsService) -> None:
    """Under the kind and id of the token, in the live environment's log alone."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    token = (await owner.post("/v1/security-token/reveal")).json()["token"]
    await owner.post("/v1/security-token/refresh")
    assert (await service.client(token).get("/v1/whoami")).status_code == 401
    (entry,) = await denials_of(service, tenant_id)
    assert (entry["actor"]["kind"], entry["reason"]) == ("security_token", "version_ended")
    test = await service.new_owner(tenant_id, environment="test")
    assert (await test.get(PATH, params={"action": "access.denied"})).json()["data"] == []


async def test_a_siblings_denials_reach_the_owner(service: CredentialsService) -> None:
    """A scope that a key lacks for a call of a sibling, and a revoked key presented there, with the caller's address."""
    tenant_id = await service.new_tenant()
    key = await service.new_key(tenant_id)
    async with on_socket(create_app(service.settings)) as url:
        sibling = AccessClient.open(url, SecretStr(service.service_key))
        sibling.start_following()
        assert await sibling.verify(key["key"], ip=None, scope="webhooks:write") is not None
        await service.platform.post(f"/v1/api-keys/{key['id']}/revoke", headers={"x-tenant-id": tenant_id})
        async with asyncio.timeout(5):
            while await sibling.verify(key["key"], ip=None, scope="webhooks:write") is not None:
                await asyncio.to_thread(time.monotonic)
        await sibling.aclose()
        # The process that was asked shuts down in order, and leaves nothing unwritten.
    entries = await denials_of(service, tenant_id)
    assert {(entry["reason"], entry["changes"].get("scope")) for entry in entries} == {
        ("revoked", None),
        ("scope_missing", "webhooks:write"),
    }


async def test_unknown_and_malformed_keys_are_in_nobodys_log(service: CredentialsService) -> None:
    """There is no owner whom it concerns."""
    for text in (key_format.generate("secret", "live"), "cw_sk_live_nonsense", key_format.generate("service", "live")):
        assert (await service.client(text).get("/v1/whoami")).status_code == 401
    await service.resources.denials.flush()
    async with service.resources.database.connection() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT count(*) FROM audit_entries WHERE action = 'access.denied' AND reason IN ('unknown', 'malformed')"
        )
        assert rows.scalar() == 0


async def test_a_flood_becomes_one_entry_a_minute(service: CredentialsService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first denial is told at once, the rest when its minute is over, with their number; verifying writes nothing."""
    tenant_id = await service.new_tenant()
    key = await _revoked(service, tenant_id)
    client = service.client(key["key"])
    resources = service.resources
    await resources.denials.flush()
    await client.get("/v1/whoami")
    assert [entry["changes"]["count"] for entry in await denials_of(service, tenant_id)] == [1]
    with recorded_statements(resources.database) as statements:
        for _ in range(50):
            await resources.access.judge(key["key"], ip=None)
    assert not [text for text in statements if "audit" in text]
    assert [entry["changes"]["count"] for entry in await denials_of(service, tenant_id)] == [1]
    later = resources.denials._clock() + denials_module.WINDOW_SECONDS
    monkeypatch.setattr(resources.denials, "_clock", lambda: later)
    assert [entry["changes"]["count"] for entry in await denials_of(service, tenant_id)] == [50, 1]
    monkeypatch.setattr(resources.denials, "_clock", lambda: later + denials_module.WINDOW_SECONDS)
    await resources.denials.flush()
    assert [entry["changes"]["count"] for entry in await denials_of(service, tenant_id)] == [50, 1]


async def test_an_orderly_end_loses_none(service: CredentialsService) -> None:
    """Also those that would have waited for their minute to end."""
    tenant_id = await service.new_tenant()
    key = await _revoked(service, tenant_id)
    app = create_app(service.settings)
    async with app.router.lifespan_context(app):
        client = client_of(app, headers={"x-api-key": key["key"]})
        await client.get("/v1/whoami")
        await app.state.resources.denials.flush()
        for _ in range(3):
            await client.get("/v1/whoami")
    assert [entry["changes"]["count"] for entry in await denials_of(service, tenant_id)] == [3, 1]
