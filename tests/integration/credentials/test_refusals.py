"""Refusals that come after a credential was found good, told to its owner: signatures the older way, clients, foreign realms."""

import asyncio
from ipaddress import ip_address
from typing import Any

import pytest
from pydantic import SecretStr

from credentials.app import create_app
from shared.access import AccessClient
from shared.principals import Refusal
from support.apps import on_socket
from support.credentials_service import CredentialsService
from support.oauth_client import OAuthClient


async def told(service: CredentialsService, tenant_id: str) -> dict[str, int]:
    """Return the reasons of denials in a tenant's log, and how many there were of each."""
    answer = await service.platform.get(
        "/v1/audit-log", params={"action": "access.denied"}, headers={"x-tenant-id": tenant_id}
    )
    return {entry["reason"]: entry["changes"]["count"] for entry in answer.json()["data"]}


async def test_who_calls_the_older_way_is_told_to_the_owner_where_it_is_off(service: CredentialsService) -> None:
    """The key is known to somebody who is not let in."""
    tenant_id = await service.new_tenant()
    key = await service.new_key(tenant_id)
    for _ in range(2):
        assert (await service.client().get("/v1/whoami", headers={"key": key["key"]})).status_code == 401
    assert await told(service, tenant_id) == {"legacy_off": 2}


async def test_a_wrong_signature_is_told_to_the_owner(service: CredentialsService) -> None:
    """So is a missing one; a right one is not."""
    tenant_id = await service.new_tenant()
    await service.platform.patch(f"/v1/tenants/{tenant_id}", json={"legacy_signatures": True})
    key = (await service.new_key(tenant_id, roles=["owner"]))["key"]
    headers = {"key": key, "content-type": "application/json"}
    for signature in ({}, {"signature": "sha256=00"}):
        answer = await service.client().post("/v1/roles", content=b'{"name":"a"}', headers={**headers, **signature})
        assert answer.status_code == 401
    assert (await service.client().get("/v1/whoami", headers={"key": key})).status_code == 200
    assert await told(service, tenant_id) == {"bad_signature": 2}


async def test_a_secret_under_another_clients_id_is_told_and_is_no_use(service: CredentialsService) -> None:
    """The owner of the secret is told; the caller gets the answer of every wrong secret, and counts as guessing."""
    tenant_id = await service.new_tenant()
    key, other = [await service.new_key(of, scopes=["events:read"]) for of in (tenant_id, await service.new_tenant())]
    client = OAuthClient(service.client(), other["id"], key["key"])
    refused = await client.ask_token()
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert await told(service, tenant_id) == {"client_mismatch": 1}
    await service.resources.last_uses.flush()
    shown = await service.platform.get(f"/v1/api-keys/{key['id']}", headers={"x-tenant-id": tenant_id})
    assert shown.json()["last_used_at"] is None
    assert await OAuthClient.of(service.client(), key).token()


@pytest.mark.parametrize("reason", ["legacy_off", "bad_signature", "tenant_mismatch"])
async def test_what_a_sibling_refuses_reaches_the_owner(service: CredentialsService, reason: Refusal) -> None:
    """With the caller's address; of a flood, the first is told at once."""
    tenant_id = await service.new_tenant()
    key = await service.new_key(tenant_id)
    async with on_socket(create_app(service.settings)) as url:
        sibling = AccessClient.open(url, SecretStr(service.service_key))
        address = ip_address("198.51.100.7")
        principal = await sibling.verify(key["key"], ip=address, scope="events:read")
        assert principal is not None
        for _ in range(50):
            sibling.denied(key["key"], principal, reason=reason, ip=address)
        await asyncio.gather(*sibling._refusals.under_way())
        await sibling.aclose()
    await service.resources.denials.flush(at_once=True)
    answer = await service.platform.get(
        "/v1/audit-log", params={"action": "access.denied"}, headers={"x-tenant-id": tenant_id}
    )
    entries: list[dict[str, Any]] = [entry for entry in answer.json()["data"] if entry["reason"] == reason]
    assert [(entry["ip"], entry["changes"]["count"]) for entry in entries] == [("198.51.100.7", 1)]


async def test_only_reasons_of_siblings_are_taken(service: CredentialsService) -> None:
    """And of a credential that is not good, its own reason is the one to tell."""
    tenant_id = await service.new_tenant()
    key = await service.new_key(tenant_id)
    siblings = service.client(service.service_key)
    asked = {"credential": key["key"], "refused_because": "revoked"}
    assert (await siblings.post("/v1/verify", json=asked)).status_code == 422
    await service.platform.post(f"/v1/api-keys/{key['id']}/revoke", headers={"x-tenant-id": tenant_id})
    answer = await siblings.post("/v1/verify", json={**asked, "refused_because": "legacy_off"})
    assert answer.json()["valid"] is False
    assert await told(service, tenant_id) == {"revoked": 1}
