"""The home wallet: one in each realm, set by PUT, a wallet like any other."""

import asyncio

import pytest

from support.gateway_service import BASE_URL, GatewayService, Tenant

OWN = "the-crms-own-key-of-36-bytes-or-more"


async def test_put_makes_it_and_then_changes_it(service: GatewayService, tenant: Tenant) -> None:
    """201 with its key at first; then 200, the same id and key, all settings replaced, and no secret."""
    missing = await tenant.owner.get("/v1/home-wallet")
    assert missing.status_code == 404
    body = {"base_url": BASE_URL, "timeout_seconds": 3, "metadata": {"a": "b"}}
    made = await tenant.owner.put("/v1/home-wallet", json=body)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    assert made.json()["api_key"].startswith("ewk_")
    assert (made.json()["is_home"], made.json()["timeout_seconds"]) == (True, 3)
    changed = await tenant.owner.put("/v1/home-wallet", json={"base_url": "https://crm.example.com"})
    assert changed.status_code == 200
    kept = {"id", "api_key_id", "created_at"}
    assert {name: changed.json()[name] for name in kept} == {name: made.json()[name] for name in kept}
    assert changed.json()["api_key"] is None
    assert (changed.json()["timeout_seconds"], changed.json()["metadata"]) == (10, {})
    shown = (await tenant.owner.get("/v1/home-wallet")).json()
    assert shown == {name: value for name, value in changed.json().items() if name != "api_key"}
    revealed = await tenant.owner.post("/v1/home-wallet/api-key/reveal")
    assert (revealed.json()["api_key"], revealed.headers["cache-control"]) == (made.json()["api_key"], "no-store")
    assert [entry["base_url"] for entry in await service.audit("wallet.changed")][-1] == "https://crm.example.com"


async def test_another_key_in_put_is_a_rotation(tenant: Tenant) -> None:
    """With the default overlap; the same key again changes nothing."""
    made = await tenant.new_home()
    rotated = await tenant.owner.put("/v1/home-wallet", json={"base_url": BASE_URL, "api_key": OWN})
    assert (rotated.status_code, rotated.json()["api_key"]) == (200, OWN)
    assert rotated.json()["api_key_id"] != made["api_key_id"]
    revealed = (await tenant.owner.post("/v1/home-wallet/api-key/reveal")).json()
    assert (revealed["api_key"], revealed["previous_expires_at"] is None) == (OWN, False)
    again = await tenant.owner.put("/v1/home-wallet", json={"base_url": BASE_URL, "api_key": OWN})
    assert (again.json()["api_key"], again.json()["api_key_id"]) == (None, rotated.json()["api_key_id"])


async def test_an_own_key_is_text_in_any_script(tenant: Tenant) -> None:
    """Sent again it changes nothing, another one is a rotation; ASCII or not."""
    own = "la-clé-du-crm-à-lui-même"
    made = await tenant.owner.put("/v1/home-wallet", json={"base_url": BASE_URL, "api_key": own})
    again = await tenant.owner.put("/v1/home-wallet", json={"base_url": BASE_URL, "api_key": own})
    assert (again.status_code, again.json()["api_key"]) == (200, None)
    assert again.json()["api_key_id"] == made.json()["api_key_id"]
    other = await tenant.owner.put("/v1/home-wallet", json={"base_url": BASE_URL, "api_key": OWN})
    assert (other.status_code, other.json()["api_key"]) == (200, OWN)


@pytest.mark.parametrize("own", ["é", "x", " " * 24, "\u200b" * 24])
async def test_a_malformed_key_is_refused_before_it_is_compared(tenant: Tenant, own: str) -> None:
    """As where the wallet is made; nothing else of the call is done either."""
    await tenant.new_home(api_key=OWN)
    body = {"base_url": "https://other.example.com", "api_key": own}
    refused = await tenant.owner.put("/v1/home-wallet", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "api_key_malformed")
    assert (await tenant.owner.get("/v1/home-wallet")).json()["base_url"] == BASE_URL


async def test_its_key_is_rotated_like_any(tenant: Tenant) -> None:
    """By its own path."""
    made = await tenant.new_home()
    rotated = await tenant.owner.post("/v1/home-wallet/api-key/rotate", json={"overlap_seconds": 60})
    assert (rotated.status_code, rotated.headers["cache-control"]) == (200, "no-store")
    assert rotated.json()["api_key_id"] != made["api_key_id"]
    revealed = (await tenant.owner.post("/v1/home-wallet/api-key/reveal")).json()
    assert revealed["api_key"] == rotated.json()["api_key"]


async def test_two_at_once_make_one(tenant: Tenant) -> None:
    """The second finds what the first made, and changes it."""
    answers = await asyncio.gather(
        *(tenant.owner.put("/v1/home-wallet", json={"base_url": BASE_URL}) for _ in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum(answer.json()["api_key"] is not None for answer in answers) == 1


async def test_each_environment_has_its_own(tenant: Tenant) -> None:
    """A test credential neither sees nor changes the live one."""
    live = await tenant.new_home()
    assert (await tenant.tester.get("/v1/home-wallet")).status_code == 404
    test = await tenant.new_home(client=tenant.tester)
    assert (live["environment"], test["environment"]) == ("live", "test")
    assert live["id"] != test["id"]


async def test_its_id_reaches_it_like_any_wallet(tenant: Tenant) -> None:
    """So it can be disabled, unfrozen and read without calls of its own."""
    made = await tenant.new_home()
    path = f"/v1/external-wallets/{made['id']}"
    assert (await tenant.owner.get(path)).json()["is_home"] is True
    assert (await tenant.owner.post(f"{path}/disable")).json()["enabled"] is False
    assert (await tenant.owner.get("/v1/home-wallet")).json()["enabled"] is False
    assert (await tenant.owner.post(f"{path}/enable")).json()["enabled"] is True
