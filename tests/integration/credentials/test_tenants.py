"""Tenants: made, listed, renamed and suspended by the platform alone."""

from support.credentials_service import CredentialsService


async def test_a_tenant_is_made_shown_and_listed(service: CredentialsService) -> None:
    """What was made can be read back, newest first."""
    first, second = await service.new_tenant("First"), await service.new_tenant("Second")
    shown = await service.platform.get(f"/v1/tenants/{first}")
    assert shown.status_code == 200
    assert (shown.json()["id"], shown.json()["name"], shown.json()["status"]) == (first, "First", "active")
    page = (await service.platform.get("/v1/tenants", params={"limit": 2})).json()
    assert [tenant["id"] for tenant in page["data"]] == [second, first]


async def test_pages_are_stable_while_tenants_are_added(service: CredentialsService) -> None:
    """Following the cursor shows each tenant once, whatever is made meanwhile."""
    made = [await service.new_tenant(f"Broker {number}") for number in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while len(seen) < len(made):
        page = (
            await service.platform.get("/v1/tenants", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        ).json()
        seen += [tenant["id"] for tenant in page["data"]]
        cursor = page["next_cursor"]
        await service.new_tenant("Added meanwhile")
    assert seen[: len(made)] == made[::-1]


async def test_renaming_and_suspending(service: CredentialsService) -> None:
    """What is not given stays; suspending twice is no error."""
    tenant_id = await service.new_tenant("Before")
    renamed = await service.platform.patch(f"/v1/tenants/{tenant_id}", json={"name": "After"})
    assert (renamed.json()["name"], renamed.json()["status"]) == ("After", "active")
    for _ in range(2):
        suspended = await service.platform.patch(f"/v1/tenants/{tenant_id}", json={"status": "suspended"})
        assert (suspended.json()["name"], suspended.json()["status"]) == ("After", "suspended")


async def test_suspension_denies_every_key_and_activation_restores_them(service: CredentialsService) -> None:
    """All keys of the tenant, in both environments, and no key of another tenant."""
    tenant_id, other_id = await service.new_tenant(), await service.new_tenant()
    keys = [await service.new_owner(tenant_id, environment=environment) for environment in ("live", "test")]
    other = await service.new_owner(other_id)
    for status, expected in (("active", 200), ("suspended", 401), ("active", 200)):
        await service.platform.patch(f"/v1/tenants/{tenant_id}", json={"status": status})
        assert [(await key.get("/v1/whoami")).status_code for key in keys] == [expected, expected]
        assert (await other.get("/v1/whoami")).status_code == 200


async def test_no_tenants_key_administers_tenants(service: CredentialsService) -> None:
    """Not even an owner sees tenants, its own included."""
    tenant_id = await service.new_tenant()
    owner = await service.new_owner(tenant_id)
    for answer in (
        await owner.post("/v1/tenants", json={"name": "Mine"}),
        await owner.get("/v1/tenants"),
        await owner.get(f"/v1/tenants/{tenant_id}"),
        await owner.patch(f"/v1/tenants/{tenant_id}", json={"status": "active"}),
    ):
        assert answer.status_code == 403
        assert answer.json()["code"] == "insufficient_scope"
