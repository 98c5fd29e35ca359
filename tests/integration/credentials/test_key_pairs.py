"""``POST /v1/api-keys/regenerate-pair``: a public and a secret key, replaced together."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from shared.scopes import BUILT_IN_ROLES, PUBLIC_SCOPES
from support.credentials_service import CredentialsService

Pair = dict[str, dict[str, Any]]


async def regenerate(client: httpx2.AsyncClient, *, status: int = 201, **fields: Any) -> Pair:
    """Regenerate and return the answer."""
    answer = await client.post("/v1/api-keys/regenerate-pair", json={"environment": "live", **fields})
    assert answer.status_code == status, answer.text
    pair: Pair = answer.json()
    return pair


async def works(service: CredentialsService, pair: Pair) -> list[bool]:
    """Tell of both texts whether they are valid at this moment."""
    return [
        (await service.client(pair[kind]["key"]).get("/v1/whoami")).status_code == 200 for kind in ("public", "secret")
    ]


async def test_the_first_pair(service: CredentialsService) -> None:
    """A public key that reads what a browser may, and a secret one that integrates; both shown once."""
    owner = await service.new_owner(await service.new_tenant())
    answer = await owner.post("/v1/api-keys/regenerate-pair", json={"environment": "live"})
    assert answer.headers["cache-control"] == "no-store"
    pair = answer.json()
    for kind, code in (("public", "pk"), ("secret", "sk")):
        key = pair[kind]
        assert (key["kind"], key["environment"], key["status"]) == (kind, "live", "active")
        assert key["key"].startswith(f"cw_{code}_live_")
    scopes = {
        kind: set((await service.client(pair[kind]["key"]).get("/v1/whoami")).json()["effective_scopes"])
        for kind in pair
    }
    assert scopes == {"public": PUBLIC_SCOPES, "secret": BUILT_IN_ROLES["integration"]}
    assert [key["id"] for key in (await owner.get("/v1/api-keys", params={"kind": "public"})).json()["data"]] == [
        pair["public"]["id"]
    ]


async def test_the_pair_before_is_blocked_at_once(service: CredentialsService) -> None:
    """Both keys of it, though they were in memory, and no other key."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    other = await service.new_key(tenant_id)
    first = await regenerate(owner)
    assert await works(service, first) == [True, True]
    second = await regenerate(owner)
    assert await works(service, first) == [False, False]
    assert await works(service, second) == [True, True]
    assert (await service.client(other["key"]).get("/v1/whoami")).status_code == 200
    for kind in first:
        assert (await owner.get(f"/v1/api-keys/{first[kind]['id']}")).json()["status"] == "revoked"


async def test_with_an_overlap_the_pair_before_ends_after_it(service: CredentialsService) -> None:
    """It lives until then and not longer; and it is replaced once, whatever is made later."""
    owner = await service.new_owner(await service.new_tenant())
    first = await regenerate(owner)
    began = datetime.now(UTC)
    second = await regenerate(owner, overlap_seconds=1)
    shown = (await owner.get(f"/v1/api-keys/{first['secret']['id']}")).json()
    end = datetime.fromisoformat(shown["expires_at"])
    assert began + timedelta(seconds=1) <= end <= datetime.now(UTC) + timedelta(seconds=1)
    seen = 0
    while datetime.now(UTC) < end:
        allowed = await works(service, first)
        assert allowed == [True, True] or datetime.now(UTC) >= end
        seen += all(allowed)
    assert seen > 2
    assert await works(service, first) == [False, False]
    assert await works(service, second) == [True, True]
    assert (await owner.get(f"/v1/api-keys/{first['secret']['id']}")).json()["status"] == "expired"


async def test_the_overlap_never_exceeds_the_old_keys_expiry(service: CredentialsService) -> None:
    """And the new key takes over that expiry, with the name, the grants, the addresses and the metadata."""
    owner = await service.new_owner(await service.new_tenant())
    first = await regenerate(owner)
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
    change = {
        "name": "Shop",
        "scopes": ["events:publish"],
        "roles": [],
        "allowed_cidrs": ["192.0.2.0/24"],
        "metadata": {"shop": 7},
        "expires_at": soon,
    }
    await owner.patch(f"/v1/api-keys/{first['secret']['id']}", json=change)
    second = await regenerate(owner, overlap_seconds=3600)
    assert {name: second["secret"][name] for name in change} == change
    assert (await owner.get(f"/v1/api-keys/{first['secret']['id']}")).json()["expires_at"] == soon
    assert second["public"]["expires_at"] is None


async def test_each_environment_and_tenant_has_its_own(service: CredentialsService) -> None:
    """A live credential makes either, a test one those of test alone."""
    tenant_id, other_id = await service.new_tenant(), await service.new_tenant()
    owner, other = await service.new_owner(tenant_id), await service.new_owner(other_id)
    platform = service.client(service.platform_key, tenant_id=tenant_id)
    live, test, others = (
        await regenerate(owner),
        await regenerate(platform, environment="test"),
        await regenerate(other),
    )
    assert test["secret"]["key"].startswith("cw_sk_test_")
    await regenerate(platform, environment="live")
    assert [await works(service, pair) for pair in (live, test, others)] == [[False] * 2, [True] * 2, [True] * 2]
    by_live = await owner.post("/v1/api-keys/regenerate-pair", json={"environment": "test"})
    assert by_live.status_code == 201
    tester = await service.new_owner(tenant_id, environment="test")
    refused = await tester.post("/v1/api-keys/regenerate-pair", json={"environment": "live"})
    assert (refused.status_code, refused.json()["code"]) == (403, "environment_mismatch")
    nameless = await service.platform.post("/v1/api-keys/regenerate-pair", json={"environment": "live"})
    assert (nameless.status_code, nameless.json()["code"]) == (400, "tenant_required")
    unknown = service.client(service.platform_key, tenant_id="ten_01h455vb4pex5vsknk084sn02q")
    assert (await unknown.post("/v1/api-keys/regenerate-pair", json={"environment": "live"})).status_code == 404


async def test_nobody_regenerates_more_than_it_has(service: CredentialsService) -> None:
    """Neither the first pair nor one that was given more later; nothing is made and nothing blocked."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    weak = service.client((await service.new_key(tenant_id, scopes=["api_keys:write", *sorted(PUBLIC_SCOPES)]))["key"])
    reader = service.client((await service.new_key(tenant_id, scopes=["api_keys:read"]))["key"])
    assert (await regenerate(weak, status=403))["code"] == "scope_escalation"  # type: ignore[comparison-overlap]  # a problem, not a pair
    assert (await regenerate(reader, status=403))["code"] == "insufficient_scope"  # type: ignore[comparison-overlap]  # the same
    first = await regenerate(owner)
    assert (await regenerate(weak, status=403))["code"] == "scope_escalation"  # type: ignore[comparison-overlap]  # the same
    assert await works(service, first) == [True, True]


async def test_a_deleted_or_revoked_pair_is_no_obstacle(service: CredentialsService) -> None:
    """What ended before stays as it is; what is gone leaves its place to a key as in the first pair."""
    owner = await service.new_owner(await service.new_tenant())
    first = await regenerate(owner)
    await owner.delete(f"/v1/api-keys/{first['public']['id']}")
    await owner.post(f"/v1/api-keys/{first['secret']['id']}/revoke")
    second = await regenerate(owner)
    assert await works(service, second) == [True, True]
    assert set(second["public"]["scopes"]) == PUBLIC_SCOPES


async def test_a_repeated_regeneration_answers_without_the_texts(service: CredentialsService) -> None:
    """One pair for one Idempotency-Key; neither text is kept; the pair stays valid."""
    owner = await service.new_owner(await service.new_tenant())
    wanted, headers = {"environment": "live"}, {"idempotency-key": "pair"}
    first = await owner.post("/v1/api-keys/regenerate-pair", json=wanted, headers=headers)
    again = await owner.post("/v1/api-keys/regenerate-pair", json=wanted, headers=headers)
    pair = first.json()
    assert await works(service, pair) == [True, True]
    texts = [pair[kind].pop("key") for kind in pair]
    assert (again.status_code, again.json()) == (201, pair)
    async with service.resources.database.connection() as connection:
        kept = str((await connection.exec_driver_sql("SELECT convert_from(body, 'UTF8') FROM idempotency_keys")).all())
    assert not any(text in kept for text in texts)


async def test_regenerations_at_once_leave_one_pair(service: CredentialsService) -> None:
    """They take turns: only the last one's pair is valid."""
    owner = await service.new_owner(await service.new_tenant())
    pairs = await asyncio.gather(*(regenerate(owner) for _ in range(4)))
    assert sorted([await works(service, pair) for pair in pairs]) == [[False, False]] * 3 + [[True, True]]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/environment"),
        ({"environment": "stage"}, "/environment"),
        ({"environment": "live", "overlap_seconds": -1}, "/overlap_seconds"),
        ({"environment": "live", "tenant_id": "x"}, "/tenant_id"),
    ],
    ids=str,
)
async def test_malformed_requests_are_pointed_at(
    service: CredentialsService, body: dict[str, Any], pointer: str
) -> None:
    """422 with the pointer."""
    owner = await service.new_owner(await service.new_tenant())
    answer = await owner.post("/v1/api-keys/regenerate-pair", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
