"""Roles: built-in ones that are fixed, and a realm's own, in force everywhere within a second."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest

from credentials.app import create_app
from shared.scopes import BUILT_IN_ROLES
from support.apps import on_socket
from support.credentials_service import CredentialsService
from support.queries import recorded_statements
from support.served_time import served_clock

UNKNOWN_ID = "role_01h455vb4pex5vsknk084sn02q"
CALLS: dict[str, Callable[[httpx2.AsyncClient, str], Awaitable[httpx2.Response]]] = {
    "patch": lambda client, role_id: client.patch(f"/v1/roles/{role_id}", json={"scopes": ["events:read"]}),
    "delete": lambda client, role_id: client.delete(f"/v1/roles/{role_id}"),
}


async def make_role(client: httpx2.AsyncClient, name: str = "payouts", *scopes: str, **fields: Any) -> dict[str, Any]:
    """Make a role and return it."""
    answer = await client.post("/v1/roles", json={"name": name, "scopes": list(scopes or ("events:read",)), **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def scopes_of(service: CredentialsService, key: str) -> set[str]:
    """Return what a key may do at this moment."""
    return set((await service.client(key).get("/v1/whoami")).json()["effective_scopes"])


@pytest.fixture
async def second_process(service: CredentialsService) -> AsyncIterator[str]:
    """Return the base URL of another API process on the same database."""
    async with on_socket(create_app(service.settings)) as url:
        yield url


async def test_own_roles_come_first_and_built_in_ones_after(service: CredentialsService) -> None:
    """Newest first, page by page, each once; the built-in ones are the same for all."""
    owner = await service.new_owner(await service.new_tenant())
    mine = [(await make_role(owner, f"role {number}", description="D"))["id"] for number in range(3)]
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await owner.get("/v1/roles", params={"limit": "2", **cursor})).json()
        seen += page["data"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [role["id"] for role in seen[:3]] == mine[::-1]
    assert {role["name"]: set(role["scopes"]) for role in seen if role["built_in"]} == BUILT_IN_ROLES
    assert len({role["id"] for role in seen}) == len(seen) == 3 + len(BUILT_IN_ROLES)
    assert all(role["description"] for role in seen)


async def test_a_key_has_what_its_role_grants(service: CredentialsService) -> None:
    """By name, beside its own scopes and built-in roles."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    await make_role(owner, "payouts", "transfers:create", "balances:read")
    key = await service.new_key(tenant_id, scopes=["events:publish"], roles=["payouts", "support"])
    assert key["roles"] == ["payouts", "support"]
    assert await scopes_of(service, key["key"]) == {
        "events:publish",
        "transfers:create",
        "balances:read",
        *BUILT_IN_ROLES["support"],
    }


async def test_names_that_mean_no_role_of_the_keys_realm_are_unknown(service: CredentialsService) -> None:
    """Another tenant's role, the other environment's, and any own role for a service key."""
    tenant_id, other_id = await service.new_tenant(), await service.new_tenant()
    await make_role(await service.new_owner(other_id), "theirs")
    await make_role(await service.new_owner(tenant_id, environment="test"), "tests")
    await make_role(await service.new_owner(tenant_id), "mine")
    for kind, role in (("secret", "theirs"), ("secret", "tests"), ("service", "mine")):
        wanted = {"name": "A", "kind": kind, "environment": "live", "scopes": [], "roles": [role]}
        answer = await service.platform.post("/v1/api-keys", json=wanted, headers={"x-tenant-id": tenant_id})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/roles/0")


async def test_a_role_of_the_same_name_elsewhere_gives_nothing(service: CredentialsService) -> None:
    """Names are looked up in the key's own tenant and environment alone."""
    tenant_id, other_id = await service.new_tenant(), await service.new_tenant()
    await make_role(await service.new_owner(tenant_id), "ops", "events:read")
    await make_role(await service.new_owner(tenant_id, environment="test"), "ops", "events:publish")
    await make_role(await service.new_owner(other_id), "ops", "transfers:create")
    key = await service.new_key(tenant_id, roles=["ops"])
    assert await scopes_of(service, key["key"]) == {"events:read"}


async def test_a_change_is_in_force_everywhere_within_a_second(
    service: CredentialsService, second_process: str
) -> None:
    """Wider and narrower, in the process that changed it at once, and in another that has the key in memory."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    role = await make_role(owner, "ops", "events:read", "roles:read")
    key = (await service.new_key(tenant_id, roles=["ops"]))["key"]
    async with (
        served_clock() as clock,
        httpx2.AsyncClient(base_url=second_process, headers={"x-api-key": key}, timeout=30) as elsewhere,
    ):
        for scopes in (["events:read"], ["events:read", "roles:read"], ["events:publish"]):
            before = await elsewhere.get("/v1/whoami")
            assert set(before.json()["effective_scopes"]) != set(scopes)
            assert (await owner.patch(f"/v1/roles/{role['id']}", json={"scopes": scopes})).status_code == 200
            changed_at = clock.now()
            assert await scopes_of(service, key) == set(scopes)
            while set((await elsewhere.get("/v1/whoami")).json()["effective_scopes"]) != set(scopes):
                await asyncio.to_thread(int)
                assert clock.now() - changed_at < 1.0
        assert (await elsewhere.get("/v1/roles")).status_code == 403


async def test_a_role_never_grants_more_than_its_maker_has(service: CredentialsService) -> None:
    """When it is made, and when scopes are added to it, also to one that others' keys hold; what it has may stay."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    maker = service.client((await service.new_key(tenant_id, scopes=["roles:write", "events:read"]))["key"])
    for scopes in (["transfers:create"], ["events:read", "api_keys:write"]):
        answer = await maker.post("/v1/roles", json={"name": "more", "scopes": scopes})
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_escalation")
    held = await make_role(owner, "held", "transfers:create")
    key = (await service.new_key(tenant_id, roles=["held"]))["key"]
    answer = await maker.patch(f"/v1/roles/{held['id']}", json={"scopes": ["transfers:create", "transfers:resolve"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_escalation")
    assert "transfers:resolve" in answer.json()["detail"]
    assert await scopes_of(service, key) == {"transfers:create"}
    wanted = {"scopes": ["transfers:create", "events:read"], "description": "D"}
    assert (await maker.patch(f"/v1/roles/{held['id']}", json=wanted)).status_code == 200
    assert await scopes_of(service, key) == {"transfers:create", "events:read"}


async def test_a_key_gets_no_role_that_grants_more_than_its_maker_has(service: CredentialsService) -> None:
    """An own role is no way around the rule either."""
    tenant_id = await service.new_tenant()
    await make_role(await service.new_owner(tenant_id), "strong", "transfers:create")
    maker = service.client((await service.new_key(tenant_id, scopes=["api_keys:write"]))["key"])
    wanted = {"name": "A", "kind": "secret", "environment": "live", "scopes": [], "roles": ["strong"]}
    answer = await maker.post("/v1/api-keys", json=wanted)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_escalation")


async def test_public_keys_never_write_through_a_role(service: CredentialsService) -> None:
    """A role that writes cannot be given to one; one they hold cannot begin to write; and if it did, they would not get it."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    await make_role(owner, "writes", "events:publish")
    wanted = {"name": "A", "kind": "public", "environment": "live", "scopes": [], "roles": ["writes"]}
    assert (await owner.post("/v1/api-keys", json=wanted)).json()["errors"][0]["pointer"] == "/roles/0"
    reads = await make_role(owner, "reads", "events:read")
    key = (await service.new_key(tenant_id, kind="public", roles=["reads"]))["key"]
    answer = await owner.patch(f"/v1/roles/{reads['id']}", json={"scopes": ["events:read", "events:publish"]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/scopes/1")
    async with service.resources.database.connection() as connection:
        await connection.exec_driver_sql("UPDATE roles SET scopes = scopes || '{events:publish}' WHERE name = 'reads'")
    assert await scopes_of(service, key) == {"events:read"}


@pytest.mark.parametrize("call", CALLS)
async def test_built_in_roles_are_fixed(service: CredentialsService, call: str) -> None:
    """Nobody changes or deletes them, nor takes their names."""
    owner = await service.new_owner(await service.new_tenant())
    built_in = [role for role in (await owner.get("/v1/roles")).json()["data"] if role["built_in"]]
    for role in built_in:
        answer = await CALLS[call](owner, role["id"])
        assert (answer.status_code, answer.json()["code"]) == (409, "built_in_role")
        for name in (role["name"], role["name"].upper()):
            taken = await owner.post("/v1/roles", json={"name": name, "scopes": ["events:read"]})
            assert (taken.status_code, taken.json()["code"]) == (409, "role_name_taken")


async def test_a_role_in_use_is_neither_deleted_nor_renamed(service: CredentialsService) -> None:
    """The answer names the keys; a revoked key does not count; nothing half-done remains."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    role = await make_role(owner, "held")
    key = await service.new_key(tenant_id, roles=["held"])
    for answer in (
        await owner.delete(f"/v1/roles/{role['id']}"),
        await owner.patch(f"/v1/roles/{role['id']}", json={"name": "renamed"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "role_in_use")
        assert key["id"] in answer.json()["detail"]
    assert await scopes_of(service, key["key"]) == {"events:read"}
    await owner.post(f"/v1/api-keys/{key['id']}/revoke")
    renamed = await owner.patch(f"/v1/roles/{role['id']}", json={"name": "renamed"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "renamed")
    assert (await owner.delete(f"/v1/roles/{role['id']}")).status_code == 204
    assert (await owner.delete(f"/v1/roles/{role['id']}")).status_code == 404


async def test_a_role_is_not_deleted_under_a_key_that_is_being_made(service: CredentialsService) -> None:
    """Whichever comes first, no key ends up with a role that is gone."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    wanted = {"name": "A", "kind": "secret", "environment": "live", "scopes": []}
    for number in range(8):
        role = await make_role(owner, f"raced {number}")
        made, deleted = await asyncio.gather(
            owner.post("/v1/api-keys", json={**wanted, "roles": [role["name"]]}),
            owner.delete(f"/v1/roles/{role['id']}"),
        )
        assert (made.status_code, deleted.status_code) in {(201, 409), (422, 204)}


async def test_a_name_is_taken_once(service: CredentialsService) -> None:
    """Also by two creations at once, and by a renaming."""
    owner = await service.new_owner(await service.new_tenant())
    wanted = {"name": "once", "scopes": ["events:read"]}
    answers = await asyncio.gather(*(owner.post("/v1/roles", json=wanted) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    other = await make_role(owner, "other")
    for name in ("once", "Owner"):
        answer = await owner.patch(f"/v1/roles/{other['id']}", json={"name": name})
        assert (answer.status_code, answer.json()["code"]) == (409, "role_name_taken")


@pytest.mark.parametrize("call", CALLS)
async def test_foreign_unknown_and_malformed_ids_are_the_same(service: CredentialsService, call: str) -> None:
    """Status, body and number of queries are equal; the foreign role is untouched."""
    tenant_id, other_id = await service.new_tenant(), await service.new_tenant()
    owner, other = await service.new_owner(tenant_id), await service.new_owner(other_id)
    test = await service.new_owner(tenant_id, environment="test")
    foreign, other_environment = await make_role(other, "theirs", "events:publish"), await make_role(test, "tests")
    seen = []
    for role_id in (foreign["id"], other_environment["id"], UNKNOWN_ID, "nonsense", UNKNOWN_ID.replace("role", "key")):
        with recorded_statements(service.resources.database) as statements:
            answer = await CALLS[call](owner, role_id)
        # A verification that is not remembered adds a query of its own, and uses are written at any moment.
        queries = [text for text in statements if "revocation_sequence s" not in text and "_uses" not in text]
        seen.append((answer.status_code, {**answer.json(), "request_id": ""}, len(queries)))
    assert seen[0][0] == 404
    assert all(one == seen[0] for one in seen)
    own = [role for role in (await other.get("/v1/roles")).json()["data"] if not role["built_in"]]
    assert own == [foreign]
    mine = (await owner.get("/v1/roles")).json()["data"]
    assert all(role["built_in"] for role in mine)


async def test_reading_and_writing_need_their_scopes(service: CredentialsService) -> None:
    """A key that reads roles changes none, one without either sees none, and the platform names a tenant that exists."""
    tenant_id = await service.new_tenant()
    role = await make_role(await service.new_owner(tenant_id))
    reader = service.client((await service.new_key(tenant_id, scopes=["roles:read"]))["key"])
    assert (await reader.get("/v1/roles")).status_code == 200
    for answer in (
        await reader.post("/v1/roles", json={"name": "A", "scopes": ["events:read"]}),
        *[await call(reader, role["id"]) for call in CALLS.values()],
        await service.client((await service.new_key(tenant_id))["key"]).get("/v1/roles"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    made = await service.new_key(None, kind="service", scopes=["roles:write", "events:read"])
    stranger = service.client(made["key"], tenant_id="ten_01h455vb4pex5vsknk084sn02q")
    assert (await stranger.post("/v1/roles", json={"name": "A", "scopes": ["events:read"]})).status_code == 404
