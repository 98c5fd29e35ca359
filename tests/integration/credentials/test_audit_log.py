"""The audit log as its owner reads it: filtered, paged, exported; one realm never sees another's."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest

from credentials.api_keys.owner import Owner
from credentials.audit import log
from credentials.audit.schemas import AuditFilters
from shared.pagination import encode_cursor
from shared.typeids import decode
from support.credentials_service import CredentialsService
from support.queries import recorded_statements

PATH = "/v1/audit-log"


async def read(client: httpx2.AsyncClient, **query: str) -> list[dict[str, Any]]:
    """Return one page of the log."""
    answer = await client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["data"]
    return entries


async def exported(client: httpx2.AsyncClient, **query: str) -> list[dict[str, Any]]:
    """Return the export."""
    answer = await client.get(f"{PATH}/export", params=query)
    assert answer.status_code == 200, answer.text
    return [orjson.loads(line) for line in answer.text.splitlines()]


async def test_an_entry_tells_who_did_what_to_what(service: CredentialsService) -> None:
    """In the documented shape, each entry following the one before it."""
    tenant_id = await service.new_tenant()
    key = await service.new_key(tenant_id, roles=["owner"])
    owner = service.client(key["key"], client_ip="192.0.2.5")
    made = (await owner.post("/v1/roles", json={"name": "A", "scopes": ["events:read"]})).json()
    await owner.patch(f"/v1/roles/{made['id']}", json={"description": "D"}, headers={"x-request-id": "changing"})
    newest, before, *_ = await read(owner)
    fields = "id at action actor target outcome reason request_id ip changes previous_hash hash"
    assert set(newest) == set(fields.split())
    assert newest["id"].startswith("aud_")
    assert (newest["action"], newest["outcome"], newest["reason"]) == ("role.updated", "allowed", None)
    assert newest["actor"] == {"kind": "api_key", "id": key["id"]}
    assert newest["target"] == {"kind": "role", "id": made["id"]}
    assert (newest["request_id"], newest["ip"]) == ("changing", "192.0.2.5")
    assert newest["changes"] == {"description": [None, "D"]}
    assert newest["previous_hash"] == before["hash"]
    assert datetime.now(UTC) - datetime.fromisoformat(newest["at"]) < timedelta(seconds=30)


async def test_filters_choose(service: CredentialsService) -> None:
    """By action, actor, target, time, and part of the text; together they narrow; the export takes the same ones."""
    tenant_id = await service.new_tenant("100% Broker")
    key = await service.new_key(tenant_id, roles=["owner"], name="Chief")
    owner = service.client(key["key"])
    role = (await owner.post("/v1/roles", json={"name": "Payout", "scopes": ["events:read"]})).json()
    entries = await read(owner)
    actions = [entry["action"] for entry in entries]
    assert actions == ["role.created", "api_key.created", "tenant.created"]
    me = (await service.platform.get("/v1/whoami")).json()["id"]
    created_at = entries[1]["at"]
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for query, expected in (
        ({"action": "role.created"}, actions[:1]),
        ({"action": "role"}, []),
        ({"actor": key["id"]}, actions[:1]),
        ({"actor": me}, actions[1:]),
        ({"target": role["id"]}, actions[:1]),
        ({"target": tenant_id, "actor": key["id"]}, []),
        ({"from": created_at}, actions[:2]),
        ({"to": created_at}, actions[2:]),
        ({"from": later}, []),
        ({"from": "0001-01-01T00:00:00+23:59", "to": "9999-12-31T23:59:59-23:59"}, actions),
        ({"q": "payout"}, actions[:1]),
        ({"q": "chief"}, actions[1:2]),
        ({"q": "100%"}, actions[2:]),
        ({"q": "%"}, actions[2:]),
        ({"q": key["id"][8:20], "action": "api_key.created"}, actions[1:2]),
        ({"q": "127.0.0"}, actions),
    ):
        assert [entry["action"] for entry in await read(owner, **query)] == expected, query
        assert [entry["action"] for entry in await exported(owner, **query)] == expected[::-1], query


async def test_pages_are_stable_while_entries_are_added(service: CredentialsService) -> None:
    """Each entry once, newest first."""
    owner = await service.new_owner(await service.new_tenant())
    for number in range(5):
        await owner.post("/v1/roles", json={"name": f"role {number}", "scopes": ["events:read"]})
    expected = [entry["id"] for entry in await read(owner)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await owner.get(PATH, params={"limit": "3", **cursor})).json()
        seen += [entry["id"] for entry in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        await owner.post("/v1/roles", json={"name": f"late {len(seen)}", "scopes": ["events:read"]})
    assert seen == expected


async def test_a_realm_sees_its_own_entries_alone(service: CredentialsService) -> None:
    """Not another tenant's, whatever it asks for; of its own tenant's neither the other environment's; both see the tenant's."""
    tenant_id, other_id = await service.new_tenant(), await service.new_tenant()
    live, test = await service.new_owner(tenant_id), await service.new_owner(tenant_id, environment="test")
    other = await service.new_owner(other_id)
    made = {}
    for name, client in (("live", live), ("test", test), ("other", other)):
        made[name] = (await client.post("/v1/roles", json={"name": name, "scopes": ["events:read"]})).json()["id"]
    for name, client, tenant in (("live", live, tenant_id), ("test", test, tenant_id), ("other", other, other_id)):
        for entries in (await read(client), await exported(client)):
            targets = {entry["target"]["id"] for entry in entries}
            assert targets & {*made.values(), tenant_id, other_id} == {made[name], tenant}
        assert await read(client, target=made["live" if name != "live" else "other"]) == []
    for headers in ({"x-tenant-id": other_id}, {"x-environment": "test"}):
        for path in (PATH, f"{PATH}/export"):
            assert (await live.get(path, headers=headers)).status_code == 403


async def test_a_cursor_of_another_log_shows_nothing_of_it(service: CredentialsService) -> None:
    """It is a place in a chain, and the chain is the reader's own."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    other = await service.new_owner(await service.new_tenant())
    for number in range(3):
        await other.post("/v1/roles", json={"name": f"role {number}", "scopes": ["events:read"]})
    cursor = (await other.get(PATH, params={"limit": "1"})).json()["next_cursor"]
    own = {entry["id"] for entry in await read(owner)}
    assert {entry["id"] for entry in await read(owner, cursor=cursor)} <= own


async def test_the_platform_reads_its_own_log_and_that_of_a_tenant_it_names(service: CredentialsService) -> None:
    """A service credential that is not the platform's has to name one."""
    tenant_id = await service.new_tenant("Named")
    own = await read(service.platform)
    assert {entry["target"]["id"] for entry in own} & {tenant_id} == set()
    assert "bootstrap" in {entry["actor"]["id"] for entry in await read(service.platform, actor="bootstrap")}
    named = (await service.platform.get(PATH, headers={"x-tenant-id": tenant_id})).json()["data"]
    assert [entry["action"] for entry in named] == ["tenant.created"]
    made = await service.new_key(None, kind="service", scopes=["audit:read"])
    for path in (PATH, f"{PATH}/export"):
        answer = await service.client(made["key"]).get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "tenant_required")


async def test_reading_needs_its_scope(service: CredentialsService) -> None:
    """An auditor reads; a developer does not."""
    tenant_id = await service.new_tenant()
    for role, status in (("auditor", 200), ("developer", 403)):
        reader = service.client((await service.new_key(tenant_id, roles=[role]))["key"])
        for path in (PATH, f"{PATH}/export"):
            assert (await reader.get(path)).status_code == status


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"},
        {"from": "2026-01-01T00:00:00"},
        {"q": ""},
        {"q": "\u0000"},
        {"q": "x" * 101},
        {"action": "x" * 101},
        {"outcome": "denied"},
        {"from_": "2026-01-01T00:00:00Z"},
    ],
)
async def test_what_is_malformed_is_pointed_at(service: CredentialsService, query: dict[str, str]) -> None:
    """Times without a zone, and unknown parameters, in the list and in the export."""
    owner = await service.new_owner(await service.new_tenant())
    for path in (PATH, f"{PATH}/export"):
        answer = await owner.get(path, params=query)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"query/{next(iter(query))}")
    paged = await owner.get(f"{PATH}/export", params={"limit": "5"})
    assert paged.status_code == 422


async def test_an_export_reads_batch_by_batch(service: CredentialsService, monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch is read before the one before it was taken, no connection is held in between, and what comes later is left out."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    for number in range(7):
        await owner.post("/v1/roles", json={"name": f"role {number}", "scopes": ["events:read"]})
    monkeypatch.setattr(log, "EXPORT_BATCH", 2)
    resources = service.resources
    realm_owner = Owner(tenant_id=decode("ten", tenant_id), environment="live")
    with recorded_statements(resources.database) as statements:
        batches = log.export(resources.database, owner=realm_owner, filters=AuditFilters())
        lines: list[bytes] = []
        async for batch in batches:
            lines += batch.splitlines()
            assert len([text for text in statements if "FROM audit_entries" in text]) == (len(lines) + 1) // 2
            pool: Any = resources.database.engine.pool
            # What runs in the background has one for a moment; the export would have its own until the end.
            async with asyncio.timeout(5):
                while pool.checkedout():  # noqa: ASYNC110 - a pool tells nobody that something came back
                    await asyncio.sleep(0)
            await owner.post("/v1/roles", json={"name": f"late {len(lines)}", "scopes": ["events:read"]})
    assert len(lines) == 9
    hashes = [orjson.loads(line) for line in lines]
    assert all(later["previous_hash"] == earlier["hash"] for earlier, later in itertools.pairwise(hashes))


async def test_an_export_is_a_download_of_json_lines(service: CredentialsService) -> None:
    """As a file, not to be stored by anybody on the way."""
    owner = await service.new_owner(await service.new_tenant())
    answer = await owner.get(f"{PATH}/export")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit-log.ndjson"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.endswith("\n")
    assert sorted(await read(owner), key=lambda entry: str(entry["id"])) == await exported(owner)


async def test_a_cursor_beyond_the_log_gives_its_newest_page(service: CredentialsService) -> None:
    """Whatever number it holds; a time that is a number is none."""
    owner = await service.new_owner(await service.new_tenant())
    newest = (await owner.get("/v1/audit-log")).json()
    for position in (2**31, 2**63, 2**128 - 1):
        answer = await owner.get("/v1/audit-log", params={"cursor": encode_cursor(UUID(int=position))})
        assert (answer.status_code, answer.json()) == (200, newest)
    assert (await owner.get("/v1/audit-log", params={"to": "0.5"})).status_code == 422
