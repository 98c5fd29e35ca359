"""``PATCH /v1/api-keys/{id}``: what may be changed, by whom, and how soon it counts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from support.credentials_service import CredentialsService


async def patch(client: httpx2.AsyncClient, key: dict[str, Any], /, **change: Any) -> httpx2.Response:
    """Change a key."""
    return await client.patch(f"/v1/api-keys/{key['id']}", json=change)


async def test_what_is_given_changes_and_the_rest_stays(service: CredentialsService) -> None:
    """Each field alone; the answer is what is then shown; a change to the same is none."""
    owner = await service.new_owner(await service.new_tenant())
    wanted = {"name": "Before", "kind": "secret", "environment": "live", "scopes": ["events:read"]}
    expected = (await owner.post("/v1/api-keys", json=wanted)).json()
    expected.pop("key")
    for change in (
        {"name": "After"},
        {"scopes": ["events:publish", "events:read"]},
        {"roles": ["support"]},
        {"allowed_cidrs": ["192.0.2.0/24"]},
        {"expires_at": "2099-01-01T00:00:00Z"},
        {"expires_at": None},
        {"metadata": {"team": "payments", "share": 0.5}},
        {"metadata": {}, "name": "Both"},
        {},
    ):
        expected |= change
        for _ in range(2):
            answer = await patch(owner, expected, **change)
            assert (answer.status_code, answer.json()) == (200, expected)
        assert (await owner.get(f"/v1/api-keys/{expected['id']}")).json() == expected


async def test_each_change_is_recorded_once(service: CredentialsService) -> None:
    """With old and new values; what changes nothing leaves no entry and no row in the feed."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id, name="A", metadata={"share": 0.25})
    counts = []
    for change in ({"name": "B"}, {"name": "B"}, {"metadata": {"share": 0.5}}, {}):
        await patch(owner, made, **change)
        async with service.resources.database.connection() as connection:
            entries = (
                await connection.exec_driver_sql(
                    "SELECT changes FROM audit_entries WHERE target_id = $1 AND action = 'api_key.updated' ORDER BY number",
                    (made["id"],),
                )
            ).scalars()
            rows = (await connection.exec_driver_sql("SELECT count(*) FROM revocations")).scalar()
            counts.append((list(entries), rows))
    assert [len(entries) for entries, _ in counts] == [1, 1, 2, 2]
    assert len({rows for _, rows in counts}) == 1
    assert counts[-1][0] == ['{"name":["A","B"]}', r'{"metadata":["{\"share\":0.25}","{\"share\":0.5}"]}']


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in ("name", "scopes", "roles", "allowed_cidrs", "metadata")),
        {"name": ""},
        {"scopes": ["nope"]},
        {"roles": ["king"]},
        {"allowed_cidrs": ["192.0.2.1/24"]},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"metadata": {"a": []}},
        *(
            {name: "live"}
            for name in ("id", "tenant_id", "environment", "kind", "status", "hash", "secret_hash", "prefix", "key")
        ),
        *({name: "2099-01-01T00:00:00Z"} for name in ("revoked_at", "last_used_at", "created_at", "versions")),
    ],
    ids=str,
)
async def test_malformed_changes_are_pointed_at(service: CredentialsService, change: dict[str, Any]) -> None:
    """Also whatever only the service sets: 422 with the field's pointer, and nothing changes."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id)
    made.pop("key")
    answer = await patch(owner, made, **change)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"][0]["pointer"].startswith(f"/{next(iter(change))}")
    assert (await owner.get(f"/v1/api-keys/{made['id']}")).json() == made


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"scopes": ["events:read", "events:publish"]}, 403),
        ({"roles": ["owner"]}, 403),
        ({"roles": ["auditor"], "scopes": []}, 403),
        ({"scopes": ["tenants:write"]}, 403),
        ({"scopes": []}, 200),
        ({"scopes": ["events:read", "api_keys:write"]}, 200),
    ],
    ids=str,
)
async def test_nobody_patches_in_more_than_it_has(
    service: CredentialsService, change: dict[str, Any], status: int
) -> None:
    """Neither into another key nor into itself."""
    tenant_id = await service.new_tenant()
    made = await service.new_key(tenant_id, scopes=["api_keys:write", "api_keys:read", "events:read"])
    maker = service.client(made["key"])
    other = await service.new_key(tenant_id, scopes=["events:read"])
    for target in (other, made):
        answer = await patch(maker, target, **change)
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["code"] == "scope_escalation"
            shown = (await maker.get(f"/v1/api-keys/{target['id']}")).json()
            assert (shown["scopes"], shown["roles"]) == (target["scopes"], target["roles"])


async def test_a_stronger_key_is_given_no_more_room(service: CredentialsService) -> None:
    """Longer life or more addresses need a caller that has all the key has; less of either does not."""
    tenant_id = await service.new_tenant()
    expires_at = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    strong = await service.new_key(tenant_id, roles=["owner"], allowed_cidrs=["192.0.2.0/24"], expires_at=expires_at)
    weak = service.client((await service.new_key(tenant_id, scopes=["api_keys:write"]))["key"])
    owner = await service.new_owner(tenant_id)
    wider: list[dict[str, Any]] = [
        {"allowed_cidrs": []},
        {"expires_at": None},
        {"allowed_cidrs": ["192.0.2.0/23"]},
    ]
    narrower: list[dict[str, Any]] = [
        {"allowed_cidrs": ["192.0.2.0/25"]},
        {"expires_at": soon},
        {"name": "Renamed"},
    ]
    for change in wider:
        refused = await patch(weak, strong, **change)
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_escalation")
    for change in narrower:
        assert (await patch(weak, strong, **change)).status_code == 200
    for change in wider[:2]:
        assert (await patch(owner, strong, **change)).status_code == 200


async def test_public_keys_stay_public(service: CredentialsService) -> None:
    """A public key is not patched into writing, by whoever."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    public = await service.new_key(tenant_id, kind="public", scopes=["balances:read"])
    for change in ({"scopes": ["events:publish"]}, {"roles": ["auditor"]}):
        assert (await patch(owner, public, **change)).status_code == 422


async def test_a_revoked_key_does_not_change_and_an_expired_one_can_be_renewed(service: CredentialsService) -> None:
    """A revocation is for good; a missed expiry is not."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    revoked = await service.new_key(tenant_id)
    await owner.post(f"/v1/api-keys/{revoked['id']}/revoke")
    answer = await patch(owner, revoked, expires_at=None, name="Back")
    assert (answer.status_code, answer.json()["code"]) == (409, "api_key_revoked")
    assert (await patch(owner, revoked)).status_code == 200
    soon = datetime.now(UTC) + timedelta(milliseconds=200)
    expired = await service.new_key(tenant_id, expires_at=soon.isoformat())
    key = service.client(expired["key"])
    while (await key.get("/v1/whoami")).status_code == 200:
        assert datetime.now(UTC) < soon + timedelta(seconds=5)
    shown = (await owner.get(f"/v1/api-keys/{expired['id']}")).json()
    assert (shown["status"], shown["versions"][0]["status"]) == ("expired", "ended")
    assert (await patch(owner, expired, expires_at=None)).json()["status"] == "active"
    assert (await key.get("/v1/whoami")).status_code == 200


async def test_every_change_counts_at_the_next_request(service: CredentialsService) -> None:
    """Narrowing and widening alike, though the key was in memory."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    made = await service.new_key(tenant_id, scopes=["api_keys:read"])
    key = service.client(made["key"])

    async def listing() -> int:
        return (await key.get("/v1/api-keys")).status_code

    assert await listing() == 200
    for change, status in (
        ({"scopes": []}, 403),
        ({"roles": ["auditor"]}, 200),
        ({"allowed_cidrs": ["192.0.2.0/24"]}, 401),
        ({"allowed_cidrs": ["127.0.0.0/8"]}, 200),
        ({"roles": [], "scopes": ["events:read"]}, 403),
        ({"scopes": ["api_keys:read"]}, 200),
    ):
        assert (await patch(owner, made, **change)).status_code == 200
        assert await listing() == status


async def test_belonging_to_no_tenant_is_not_being_the_platform(service: CredentialsService) -> None:
    """A service key that may write keys reaches the platform's keys neither by id nor without naming a tenant."""
    tenant_id = await service.new_tenant()
    internal_key = await service.new_key(None, kind="service", scopes=["api_keys:write", "api_keys:read"])
    platform_id = (await service.platform.get("/v1/whoami")).json()["id"]
    nameless, named = service.client(internal_key["key"]), service.client(internal_key["key"], tenant_id=tenant_id)
    for client, status, code in ((nameless, 400, "tenant_required"), (named, 404, "not_found")):
        for answer in (
            await client.get(f"/v1/api-keys/{platform_id}"),
            await client.post(f"/v1/api-keys/{platform_id}/revoke"),
            await client.delete(f"/v1/api-keys/{platform_id}"),
            await client.patch(f"/v1/api-keys/{platform_id}", json={"name": "Mine"}),
            await client.post(f"/v1/api-keys/{platform_id}/rotate", json={"overlap_seconds": 0}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await nameless.get("/v1/whoami")).status_code == 200
