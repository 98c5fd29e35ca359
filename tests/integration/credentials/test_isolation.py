"""One tenant never learns of another's keys, nor one environment of the other's."""

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from support.credentials_service import CredentialsService
from support.queries import recorded_statements

CALLS: dict[str, Callable[[httpx2.AsyncClient, str], Awaitable[httpx2.Response]]] = {
    "get": lambda client, key_id: client.get(f"/v1/api-keys/{key_id}"),
    "revoke": lambda client, key_id: client.post(f"/v1/api-keys/{key_id}/revoke"),
    "delete": lambda client, key_id: client.delete(f"/v1/api-keys/{key_id}"),
    "patch": lambda client, key_id: client.patch(f"/v1/api-keys/{key_id}", json={"name": "Mine", "scopes": []}),
    "rotate": lambda client, key_id: client.post(f"/v1/api-keys/{key_id}/rotate", json={"overlap_seconds": 0}),
    "rotate/finish": lambda client, key_id: client.post(f"/v1/api-keys/{key_id}/rotate/finish"),
    "rotate/undo": lambda client, key_id: client.post(f"/v1/api-keys/{key_id}/rotate/undo"),
}
UNKNOWN_ID = "key_01h455vb4pex5vsknk084sn02q"


@pytest.mark.parametrize("call", CALLS)
async def test_foreign_unknown_and_malformed_ids_are_the_same(service: CredentialsService, call: str) -> None:
    """Status, body and number of queries are equal, so that nothing can be told from them."""
    tenant_id, other_id = await service.new_tenant(), await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    foreign = await service.new_key(other_id)
    other_environment = await service.new_key(tenant_id, environment="test")
    service_key = await service.new_key(None, kind="service")
    await owner.get("/v1/whoami")
    seen = []
    for key_id in (
        foreign["id"],
        other_environment["id"],
        service_key["id"],
        UNKNOWN_ID,
        "nonsense",
        "key_" + "9" * 26,
        UNKNOWN_ID.replace("key_", "ten_"),
    ):
        # Unlike a remembered verification, which costs no query, an unremembered one would add one of its own.
        with recorded_statements(service.resources.database) as statements:
            answer = await CALLS[call](owner, key_id)
        queries = [statement for statement in statements if "revocation_sequence s" not in statement]
        seen.append((answer.status_code, {**answer.json(), "request_id": ""}, len(queries)))
    assert seen[0][0] == 404
    assert all(one == seen[0] for one in seen)
    for victim, tenant in ((foreign, other_id), (other_environment, tenant_id)):
        headers = {"x-tenant-id": tenant, "x-environment": victim["environment"]}
        shown = await service.platform.get(f"/v1/api-keys/{victim['id']}", headers=headers)
        assert shown.json()["status"] == "active"


async def test_lists_show_the_own_realm_only(service: CredentialsService) -> None:
    """Neither another tenant's keys nor the other environment's, whatever the filter."""
    tenant_id = await service.new_tenant()
    live, test = await service.new_owner(tenant_id), await service.new_owner(tenant_id, environment="test")
    await service.new_owner(await service.new_tenant())
    for client, environment in ((live, "live"), (test, "test")):
        for query in ({}, {"environment": "live"}, {"environment": "test"}, {"q": "test"}):
            keys = (await client.get("/v1/api-keys", params=query)).json()["data"]
            assert len(keys) <= 1
            assert all(key["environment"] == environment for key in keys)


async def test_a_tenants_key_cannot_name_another_realm(service: CredentialsService) -> None:
    """Tenant and environment come from the credential; naming others is refused, naming its own is not."""
    tenant_id, other_id = await service.new_tenant(), await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    for headers, status in (
        ({"x-tenant-id": other_id}, 403),
        ({"x-environment": "test"}, 403),
        ({"x-tenant-id": tenant_id, "x-environment": "live"}, 200),
        ({"x-tenant-id": "nonsense"}, 400),
        ({"x-environment": "stage"}, 400),
    ):
        assert (await owner.get("/v1/api-keys", headers=headers)).status_code == status


async def test_a_test_platform_key_stays_in_test(service: CredentialsService) -> None:
    """It neither sees nor makes live keys, of tenants or of the platform."""
    tenant_id = await service.new_tenant()
    scopes = ["tenants:read", "tenants:write", "api_keys:read", "api_keys:write"]
    made = await service.new_key(None, kind="service", environment="test", scopes=scopes)
    platform = service.client(made["key"])
    assert (await platform.get("/v1/api-keys", headers={"x-tenant-id": tenant_id})).status_code == 403
    assert (await platform.get("/v1/api-keys", headers={"x-environment": "live"})).status_code == 403
    assert (await service.platform.get("/v1/api-keys", headers={"x-environment": "stage"})).status_code == 400
    own = (await platform.get("/v1/api-keys")).json()["data"]
    assert {key["environment"] for key in own} == {"test"}
    for kind, headers in (("service", {}), ("secret", {"x-tenant-id": tenant_id, "x-environment": "test"})):
        wanted = {"name": "A", "kind": kind, "environment": "live", "scopes": []}
        answer = await platform.post("/v1/api-keys", json=wanted, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "environment_mismatch")
