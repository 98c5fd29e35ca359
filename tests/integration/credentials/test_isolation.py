"""One tenant never learns of another's keys, nor one environment of the other's."""

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from support.credentials_service import CredentialsService
from support.oauth_client import FORM, OAuthClient
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
    owner = await service.new_owner(tenant_id, environment="test")
    foreign = await service.new_key(other_id, environment="test")
    other_environment = await service.new_key(tenant_id)
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


@pytest.mark.parametrize("call", CALLS)
async def test_a_live_key_of_another_tenant_reaches_no_key(service: CredentialsService, call: str) -> None:
    """Of neither environment."""
    owner, other_id = await service.new_owner(await service.new_tenant()), await service.new_tenant()
    for environment in ("live", "test"):
        foreign = await service.new_key(other_id, environment=environment)
        assert (await CALLS[call](owner, foreign["id"])).status_code == 404
        assert (await service.client(foreign["key"]).get("/v1/whoami")).status_code == 200


async def test_lists_show_the_own_tenant_only(service: CredentialsService) -> None:
    """Never another tenant's keys; a test key lists test keys alone, whatever the filter, and a live one both."""
    tenant_id = await service.new_tenant()
    live, test = await service.new_owner(tenant_id), await service.new_owner(tenant_id, environment="test")
    await service.new_owner(await service.new_tenant())
    queries: tuple[dict[str, str], ...] = ({}, {"environment": "live"}, {"environment": "test"}, {"q": "test"})
    shown = {
        name: [
            [key["environment"] for key in (await client.get("/v1/api-keys", params=query)).json()["data"]]
            for query in queries
        ]
        for name, client in (("live", live), ("test", test))
    }
    assert shown == {
        "live": [["test", "live"], ["live"], ["test"], ["test", "live"]],
        "test": [["test"], [], ["test"], ["test"]],
    }
    narrowed = (await live.get("/v1/api-keys", headers={"x-environment": "live"})).json()["data"]
    assert [key["environment"] for key in narrowed] == ["live"]


async def test_a_live_owner_manages_the_keys_of_both_environments(service: CredentialsService) -> None:
    """It makes, shows, changes, rotates, revokes and deletes test keys; what a test key does stays in test."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    wanted = {"name": "A", "kind": "secret", "environment": "test", "scopes": ["api_keys:read"]}
    made = (await owner.post("/v1/api-keys", json=wanted)).json()
    assert (made["environment"], made["key"][:11]) == ("test", "cw_sk_test_")
    listed = (await service.client(made["key"]).get("/v1/api-keys")).json()["data"]
    assert [key["id"] for key in listed] == [made["id"]]
    for call in ("get", "patch", "rotate", "revoke"):
        assert (await CALLS[call](owner, made["id"])).status_code == 200, call
    assert (await CALLS["delete"](owner, made["id"])).status_code == 204


@pytest.mark.parametrize(("named", "wanted"), [("test", "live"), ("live", "test")])
async def test_naming_one_environment_and_wanting_the_other_is_refused(
    service: CredentialsService, named: str, wanted: str
) -> None:
    """By the platform, for a tenant's keys, pairs and the platform's own; nothing is made."""
    tenant_id = await service.new_tenant()
    headers = {"x-environment": named}
    for path, kind in (("", "secret"), ("", "service"), ("/regenerate-pair", None)):
        body = {"environment": wanted, **({"name": "A", "kind": kind, "scopes": []} if kind else {})}
        answer = await service.platform.post(
            f"/v1/api-keys{path}", json=body, headers={**headers, "x-tenant-id": tenant_id}
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "environment_mismatch")
    listed = await service.platform.get("/v1/api-keys", headers={"x-tenant-id": tenant_id})
    assert listed.json()["data"] == []


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


@pytest.fixture
async def tester(service: CredentialsService) -> httpx2.AsyncClient:
    """Return a client with a service key of the test environment that holds every scope of the platform's."""
    scopes = ["tenants:read", "tenants:write", "credentials:verify"]
    made = await service.new_key(None, kind="service", environment="test", scopes=scopes)
    return service.client(made["key"])


async def test_a_test_platform_key_changes_no_tenant(service: CredentialsService, tester: httpx2.AsyncClient) -> None:
    """A tenant is the same one in both environments: making, renaming and suspending it takes a live key."""
    tenant_id = await service.new_tenant("Broker")
    for method, path, wanted in (
        ("POST", "/v1/tenants", {"name": "Another"}),
        ("PATCH", f"/v1/tenants/{tenant_id}", {"name": "Renamed"}),
        ("PATCH", f"/v1/tenants/{tenant_id}", {"status": "suspended"}),
        ("PATCH", f"/v1/tenants/{tenant_id}", {"legacy_signatures": True}),
    ):
        answer = await tester.request(method, path, json=wanted)
        assert (answer.status_code, answer.json()["code"]) == (403, "tenant_mismatch")
    shown = (await tester.get(f"/v1/tenants/{tenant_id}")).json()
    assert (shown["name"], shown["status"], shown["legacy_signatures"]) == ("Broker", "active", False)
    names = {tenant["name"] for tenant in (await service.platform.get("/v1/tenants?limit=200")).json()["data"]}
    assert not names & {"Another", "Renamed"}


async def test_a_test_verifier_verifies_test_credentials_alone(
    service: CredentialsService, tester: httpx2.AsyncClient
) -> None:
    """A live key, a live token and a live security token are nothing to it, and the owner of the key sees that it was tried."""
    tenant_id = await service.new_tenant()
    live, test = [
        await service.new_key(tenant_id, environment=environment, scopes=["events:read"])
        for environment in ("live", "test")
    ]
    tokens = [await OAuthClient.of(service.client(), made).token() for made in (live, test)]
    for credentials, is_valid in (((live["key"], tokens[0]), False), ((test["key"], tokens[1]), True)):
        for text in credentials:
            answer = await tester.post("/v1/verify", json={"credential": text})
            assert answer.json()["valid"] is is_valid
            assert await is_good(service, text)
    assert [await may_look_at(tester, token) for token in tokens] == [False, True]
    refused = await end(tester, tokens[0])
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    assert (await end(tester, tokens[1])).is_success
    assert await is_good(service, tokens[0])
    await service.resources.denials.flush(at_once=True)
    owner = await service.new_owner(tenant_id)
    entries = (await owner.get("/v1/audit-log", params={"action": "access.denied"})).json()["data"]
    assert {entry["reason"] for entry in entries} == {"other_environment"}


async def is_good(service: CredentialsService, text: str) -> bool:
    """Verify as a live sibling."""
    answer = await service.client(service.service_key).post("/v1/verify", json={"credential": text})
    return bool(answer.json()["valid"])


async def may_look_at(client: httpx2.AsyncClient, token: str) -> bool:
    """Introspect as a verifier."""
    return bool((await with_bearer(client, "/oauth2/introspect", token)).json()["active"])


async def end(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    """Revoke as a verifier."""
    return await with_bearer(client, "/oauth2/revoke", token)


async def with_bearer(client: httpx2.AsyncClient, path: str, token: str) -> httpx2.Response:
    """Call as a verifier with the client's key."""
    headers = {"authorization": f"Bearer {client.headers['x-api-key']}", "content-type": FORM}
    del client.headers["x-api-key"]
    answer = await client.post(path, content=f"token={token}", headers=headers)
    client.headers["x-api-key"] = headers["authorization"].removeprefix("Bearer ")
    return answer
