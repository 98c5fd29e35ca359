"""Nobody sees or touches another realm's wallets: a foreign one is answered exactly as a missing one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from support.foreign_objects import Call, check_answered_as_missing
from support.gateway_service import BASE_URL, GatewayService, Tenant

ONE = "/v1/external-wallets/{wallet}"
CALLS = [
    Call(method="GET", path=ONE),
    Call(method="PATCH", path=ONE, body={"name": "stolen", "base_url": "https://evil.example.com"}),
    Call(method="DELETE", path=ONE),
    Call(method="POST", path=f"{ONE}/enable"),
    Call(method="POST", path=f"{ONE}/disable"),
    Call(method="POST", path=f"{ONE}/unfreeze", body={"evidence": "stolen"}),
    Call(method="POST", path=f"{ONE}/api-key/reveal"),
    Call(method="POST", path=f"{ONE}/api-key/rotate", body={}),
    Call(method="POST", path=f"{ONE}/test-connection"),
    Call(method="GET", path=f"{ONE}/balances?owner_ref=a1b2c3d4"),
]
MISSING = {"wallet": "ew_01jzzzzzzzzzzzzzzzzzzzzzzz"}
MALFORMED = {"wallet": "wh_01jzzzzzzzzzzzzzzzzzzzzzzz"}


@dataclass(frozen=True, kw_only=True)
class Owned:
    """A tenant with a wallet and a home wallet, which a stranger must not change."""

    tenant: Tenant
    ids: dict[str, str]
    home: dict[str, str]


@pytest.fixture(scope="module")
async def owned(service: GatewayService) -> AsyncIterator[Owned]:
    """Return a tenant with wallets; at the end they are as they were."""
    tenant = await service.new_tenant()
    made, home = await tenant.new_wallet(), await tenant.new_home()
    before = await _everything(tenant)
    yield Owned(tenant=tenant, ids={"wallet": made["id"]}, home={"wallet": home["id"]})
    assert await _everything(tenant) == before


async def _everything(tenant: Tenant) -> list[Any]:
    return [(await tenant.owner.get(path)).json() for path in ("/v1/external-wallets", "/v1/home-wallet")]


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("who", ["another tenant", "the same tenant in test"])
@pytest.mark.parametrize("which", ["external", "home"])
async def test_a_foreign_wallet_is_as_one_that_does_not_exist(
    service: GatewayService, owned: Owned, call: Call, who: str, which: str
) -> None:
    """The same status, body, headers and statements as for an id that nobody has, or that is none."""
    client = owned.tenant.tester if who == "the same tenant in test" else (await service.new_tenant()).owner
    foreign = owned.ids if which == "external" else owned.home
    await check_answered_as_missing(
        client, service.resources.database, call, foreign=foreign, others=(MISSING, MALFORMED)
    )


async def test_the_owner_reaches_what_strangers_do_not(owned: Owned) -> None:
    """So the table above is not of calls that fail for everybody."""
    for ids in (owned.ids, owned.home):
        assert (await CALLS[0].send(owned.tenant.owner, ids)).status_code == 200


async def test_lists_and_views_hold_the_realms_own_alone(service: GatewayService, owned: Owned) -> None:
    """Empty for a stranger and in the other environment; their home wallet is not there."""
    stranger = await service.new_tenant()
    assert len((await owned.tenant.owner.get("/v1/external-wallets")).json()["data"]) == 1
    for client in (owned.tenant.tester, stranger.owner, stranger.tester):
        assert (await client.get("/v1/external-wallets")).json()["data"] == []
        assert (await client.get("/v1/home-wallet")).status_code == 404
        assert (await client.get("/v1/clients/a1b2c3d4/balances")).json()["wallets"] == []


async def test_a_service_key_names_the_realm_it_acts_in(service: GatewayService, tenant: Tenant) -> None:
    """Test wallets belong to test, also when an internal system makes them."""
    made = await service.credentials.new_key(None, kind="service", scopes=["external_wallets:update"])
    test = service.client(made["key"], x_tenant_id=tenant.id, x_environment="test")
    answer = await test.post("/v1/external-wallets", json={"name": "x", "base_url": BASE_URL})
    assert (answer.status_code, answer.json()["environment"]) == (201, "test")
    assert (await tenant.owner.get(f"/v1/external-wallets/{answer.json()['id']}")).status_code == 404
    assert (await tenant.tester.get(f"/v1/external-wallets/{answer.json()['id']}")).status_code == 200
