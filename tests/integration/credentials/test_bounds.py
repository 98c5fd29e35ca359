"""A key for some addresses, or for some time, gives nobody more of either: no new key, and not itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from support.credentials_service import CredentialsService
from support.oauth_client import OAuthClient, bearer

LIST = ["127.0.0.0/8", "192.0.2.0/24"]
FOUR_DAYS = (datetime.now(UTC) + timedelta(days=4)).isoformat()
TWO_DAYS = (datetime.now(UTC) + timedelta(days=2)).isoformat()
FAR = (datetime.now(UTC) + timedelta(days=400)).isoformat()
NEW = {"name": "n", "kind": "secret", "environment": "live", "scopes": []}
#: What a key may have that was made, or changed, by one with LIST and FOUR_DAYS.
BEYOND: list[dict[str, Any]] = [
    {"allowed_cidrs": [], "expires_at": FOUR_DAYS},
    {"allowed_cidrs": ["192.0.0.0/16"], "expires_at": FOUR_DAYS},
    {"allowed_cidrs": [*LIST, "2001:db8::/32"], "expires_at": FOUR_DAYS},
    {"allowed_cidrs": LIST, "expires_at": None},
    {"allowed_cidrs": LIST, "expires_at": FAR},
]
BEYOND_IDS = ("any address", "wider network", "another network", "for ever", "longer")
WITHIN: list[dict[str, Any]] = [
    {"allowed_cidrs": LIST, "expires_at": FOUR_DAYS},
    {"allowed_cidrs": ["192.0.2.7"], "expires_at": TWO_DAYS},
]


async def bound(service: CredentialsService, tenant_id: str) -> dict[str, Any]:
    """Return a key with every scope, and with bounds."""
    return await service.new_key(tenant_id, roles=["owner"], allowed_cidrs=LIST, expires_at=FOUR_DAYS)


async def clients_of(service: CredentialsService, made: dict[str, Any]) -> list[httpx2.AsyncClient]:
    """Return clients that call with a key's text, and with an access token of it."""
    with_token = service.client()
    with_token.headers.update(bearer(await OAuthClient.of(service.client(), made).token()))
    return [service.client(made["key"]), with_token]


def refused(answer: httpx2.Response) -> bool:
    """Tell whether a call was refused as an escalation."""
    return (answer.status_code, answer.json().get("code")) == (403, "scope_escalation")


@pytest.mark.parametrize("bounds", BEYOND, ids=BEYOND_IDS)
async def test_no_key_is_made_beyond_its_makers_bounds(service: CredentialsService, bounds: dict[str, Any]) -> None:
    """By the key itself, or by an access token of it, which lives for minutes; nothing is made."""
    tenant_id = await service.new_tenant()
    for client in await clients_of(service, await bound(service, tenant_id)):
        assert refused(await client.post("/v1/api-keys", json={**NEW, **bounds}))
        assert len((await client.get("/v1/api-keys")).json()["data"]) == 1


@pytest.mark.parametrize("bounds", BEYOND, ids=BEYOND_IDS)
async def test_no_key_frees_itself(service: CredentialsService, bounds: dict[str, Any]) -> None:
    """Nor does an access token free its key; narrowing is open to both."""
    tenant_id = await service.new_tenant()
    made = await bound(service, tenant_id)
    path = f"/v1/api-keys/{made['id']}"
    for client in await clients_of(service, made):
        before = (await client.get(path)).json()
        assert refused(await client.patch(path, json=bounds))
        after = (await client.get(path)).json()
        assert [after[name] for name in bounds] == [before[name] for name in bounds]
    narrowed = await client.patch(path, json={"allowed_cidrs": ["127.0.0.1"], "expires_at": TWO_DAYS})
    assert narrowed.status_code == 200
    # Now these are its bounds.
    assert refused(await client.patch(path, json={"expires_at": FOUR_DAYS}))
    assert refused(await client.patch(path, json={"allowed_cidrs": LIST}))


async def test_within_its_bounds_it_makes_keys(service: CredentialsService) -> None:
    """And changes those that stay within."""
    tenant_id = await service.new_tenant()
    client = service.client((await bound(service, tenant_id))["key"])
    for bounds in WITHIN:
        answer = await client.post("/v1/api-keys", json={**NEW, **bounds})
        assert answer.status_code == 201, answer.text
    path = f"/v1/api-keys/{answer.json()['id']}"
    for change in ({"expires_at": FOUR_DAYS}, {"allowed_cidrs": LIST}, {"scopes": ["events:read"]}):
        assert (await client.patch(path, json=change)).status_code == 200


async def test_no_freer_key_lends_itself(service: CredentialsService) -> None:
    """No new text of a key without such bounds, no more scopes for it, no pair; what takes nothing from anybody stays open."""
    tenant_id = await service.new_tenant()
    free = await service.new_key(tenant_id, scopes=["events:read"])
    path = f"/v1/api-keys/{free['id']}"
    client = service.client((await bound(service, tenant_id))["key"])
    await service.platform.post(f"{path}/rotate", json={"overlap_seconds": 3600}, headers={"x-tenant-id": tenant_id})
    for call, body in (("POST", {"overlap_seconds": 0}), ("undo", None)):
        answer = await client.post(f"{path}/rotate" + ("/undo" if call == "undo" else ""), json=body)
        assert refused(answer), call
    assert refused(await client.patch(path, json={"scopes": ["events:read", "events:publish"]}))
    assert refused(await client.patch(path, json={"roles": ["owner"]}))
    assert refused(await client.post("/v1/api-keys/regenerate-pair", json={"environment": "live"}))
    harmless: list[dict[str, Any]] = [
        {"name": "Renamed"},
        {"scopes": []},
        {"allowed_cidrs": ["198.51.100.0/24"]},
        {"expires_at": FAR},
    ]
    for change in harmless:
        assert (await client.patch(path, json=change)).status_code == 200, change
    assert (await client.post(f"{path}/revoke")).status_code == 200


async def test_a_pair_goes_on_within_the_callers_bounds_alone(service: CredentialsService) -> None:
    """Also where the replaced key had ended, whose end the new one does not take over."""
    tenant_id = await service.new_tenant()
    headers = {"x-tenant-id": tenant_id}
    wanted = {"environment": "live"}
    pair = (await service.platform.post("/v1/api-keys/regenerate-pair", json=wanted, headers=headers)).json()
    client = service.client((await bound(service, tenant_id))["key"])
    for kind in ("public", "secret"):
        change = {"allowed_cidrs": ["127.0.0.1"], "expires_at": TWO_DAYS}
        await service.platform.patch(f"/v1/api-keys/{pair[kind]['id']}", json=change, headers=headers)
    again = await client.post("/v1/api-keys/regenerate-pair", json=wanted)
    assert again.status_code == 201, again.text
    assert again.json()["secret"]["allowed_cidrs"] == ["127.0.0.1/32"]
    async with service.resources.database.connection() as connection:
        ended = "UPDATE api_keys SET expires_at = now() - interval '1 day' WHERE name = 'Secret key'"
        await connection.exec_driver_sql(ended)
    assert refused(await client.post("/v1/api-keys/regenerate-pair", json=wanted))


async def test_who_has_no_bounds_sets_any(service: CredentialsService) -> None:
    """An owner without bounds, and the platform."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await bound(service, tenant_id)
    for bounds in BEYOND:
        assert (await owner.post("/v1/api-keys", json={**NEW, **bounds})).status_code == 201
        assert (await owner.patch(f"/v1/api-keys/{made['id']}", json=bounds)).status_code == 200
    narrow = await service.new_key(
        None, kind="service", scopes=["tenants:write", "api_keys:write"], allowed_cidrs=LIST, expires_at=FOUR_DAYS
    )
    platform = service.client(narrow["key"], tenant_id=tenant_id)
    assert (await platform.post("/v1/api-keys", json=NEW)).status_code == 201
