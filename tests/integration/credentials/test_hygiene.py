"""``GET /v1/hygiene``: keys that never expire, that nobody uses, and that may do what they never did."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from shared.access import AccessClient
from shared.typeids import decode
from support.apps import client_of
from support.credentials_service import CredentialsService
from support.queries import recorded_statements

LATER = (datetime.now(UTC) + timedelta(days=30)).isoformat()


async def findings(client: httpx2.AsyncClient) -> dict[str, tuple[list[str], list[str]]]:
    """Return what is found, by the key's name."""
    data = (await client.get("/v1/hygiene")).json()["data"]
    return {key["name"]: (key["findings"], key["scopes_never_exercised"]) for key in data}


async def age(service: CredentialsService, key: dict[str, Any], *, days: float) -> None:
    """Make a key, and its last use, as old as that."""
    async with service.resources.database.connection() as connection:
        for statement in (
            "UPDATE api_keys SET created_at = now() - CAST($2 AS interval) WHERE id = $1",
            "UPDATE api_key_last_uses SET used_at = now() - CAST($2 AS interval) WHERE key_id = $1",
        ):
            await connection.exec_driver_sql(statement, (decode("key", key["id"]), timedelta(days=days)))


async def test_each_finding(service: CredentialsService) -> None:
    """Each alone, all together, and none; what is revoked or expired is nobody's concern any more."""
    tenant_id = await service.new_tenant()
    reader = service.client((await service.new_key(tenant_id, name="reader", scopes=["api_keys:read"]))["key"])
    kinds: dict[str, dict[str, Any]] = {
        "clean": {"expires_at": LATER},
        "forever": {},
        "idle": {"expires_at": LATER},
        "never used": {"expires_at": LATER},
        "barely": {"expires_at": LATER},
        "mighty": {"expires_at": LATER, "scopes": ["events:publish"], "roles": ["auditor"]},
        "revoked": {},
    }
    for name, fields in kinds.items():
        made = await service.new_key(tenant_id, **{"name": name, **fields})
        if name != "never used":
            assert (await service.client(made["key"]).get("/v1/whoami")).status_code == 200
            await service.resources.last_uses.flush()
        if name in {"idle", "never used", "barely"}:
            await age(service, made, days=89.9 if name == "barely" else 90)
        if name == "revoked":
            await service.platform.post(f"/v1/api-keys/{made['id']}/revoke", headers={"x-tenant-id": tenant_id})
        if name == "mighty":
            assert (await service.client(made["key"]).get("/v1/api-keys")).status_code == 200
    await reader.get("/v1/hygiene")
    await service.resources.scope_uses.flush()
    found = await findings(reader)
    mighty = found.pop("mighty")
    assert found == {
        "reader": (["never_expires"], []),
        "forever": (["never_expires"], []),
        "idle": (["unused"], []),
        "never used": (["unused"], []),
    }
    assert mighty[0] == ["scopes_never_exercised"]
    assert "events:publish" in mighty[1]
    assert "audit:read" in mighty[1]
    assert "api_keys:read" not in mighty[1]


async def test_a_denied_use_exercises_nothing(service: CredentialsService) -> None:
    """Asking for a scope it does not have is no use of it, even when it gets that scope later."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id, name="A", expires_at=LATER, scopes=["events:read"])
    assert (await service.client(made["key"]).get("/v1/api-keys")).status_code == 403
    siblings = service.client(service.service_key)
    asked = {"credential": made["key"], "required_scopes": ["events:read", "api_keys:read"]}
    assert (await siblings.post("/v1/verify", json=asked)).json()["valid"] is False
    await owner.patch(f"/v1/api-keys/{made['id']}", json={"scopes": ["api_keys:read", "events:read"]})
    await service.resources.scope_uses.flush()
    assert (await findings(owner))["A"][1] == ["api_keys:read", "events:read"]


async def test_own_roles_count(service: CredentialsService) -> None:
    """What a realm's own role gives is held as well."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    await owner.post("/v1/roles", json={"name": "payouts", "scopes": ["transfers:read"]})
    await owner.post(
        "/v1/api-keys",
        json={"name": "A", "kind": "secret", "environment": "live", "roles": ["payouts"], "expires_at": LATER},
    )
    assert (await findings(owner))["A"] == (["scopes_never_exercised"], ["transfers:read"])


async def test_what_siblings_saw_counts(service: CredentialsService) -> None:
    """They tell which scope a credential is used with: once each, whatever they remember; last use and address with it."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    scopes = ["events:publish", "events:read", "transfers:read"]
    made = await service.new_key(tenant_id, name="A", expires_at=LATER, scopes=scopes)
    http = [client_of(service.app, headers={"x-api-key": service.service_key}) for _ in range(2)]
    sibling = AccessClient(*http)
    for scope in ("events:publish", "events:publish", "events:read", "deliveries:read"):
        assert await sibling.verify(made["key"], ip=None, scope=scope) is not None
    await sibling.aclose()
    with recorded_statements(service.resources.database) as statements:
        for _ in range(2):
            await service.resources.scope_uses.flush()
            await service.resources.last_uses.flush()
    assert len(statements) == 2
    assert (await findings(owner))["A"] == (["scopes_never_exercised"], ["transfers:read"])
    shown = (await owner.get(f"/v1/api-keys/{made['id']}")).json()
    assert datetime.fromisoformat(shown["last_used_at"]) > datetime.now(UTC) - timedelta(seconds=10)


async def test_what_is_known_is_not_written_again(service: CredentialsService) -> None:
    """A scope's use is written once; ten thousand more cost no statement."""
    made = await service.new_key(await service.new_tenant(), scopes=["events:read"])
    uses = service.resources.scope_uses
    uses.note(made["id"], ["events:read"])
    await uses.flush()
    with recorded_statements(service.resources.database) as statements:
        for _ in range(10_000):
            uses.note(made["id"], ["events:read"])
        await uses.flush()
    assert statements == []


async def test_a_deleted_key_hinders_no_other(service: CredentialsService) -> None:
    """Uses of keys that are gone by the time of the write are left out."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made, gone = [
        await service.new_key(tenant_id, name=name, expires_at=LATER, scopes=["events:read"]) for name in "AB"
    ]
    for key in (made, gone):
        service.resources.scope_uses.note(key["id"], ["events:read"])
    await owner.delete(f"/v1/api-keys/{gone['id']}")
    await service.resources.scope_uses.flush()
    assert "A" not in await findings(owner)


async def test_pages_and_owners(service: CredentialsService) -> None:
    """Newest first, page by page, the own tenant's; a test key gets test keys alone; needs the scope to read keys."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    tester = await service.new_owner(tenant_id, environment="test")
    await service.new_owner(await service.new_tenant())
    made = [(await service.new_key(tenant_id))["id"] for _ in range(4)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await owner.get("/v1/hygiene", params=query)).json()
        seen += [key["id"] for key in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    own_ids = [(await client.get("/v1/whoami")).json()["id"] for client in (tester, owner)]
    assert seen == [*made[::-1], *own_ids]
    assert [key["id"] for key in (await tester.get("/v1/hygiene")).json()["data"]] == own_ids[:1]
    assert len((await service.platform.get("/v1/hygiene")).json()["data"]) >= 2
    bare = service.client((await service.new_key(tenant_id))["key"])
    assert (await bare.get("/v1/hygiene")).status_code == 403
