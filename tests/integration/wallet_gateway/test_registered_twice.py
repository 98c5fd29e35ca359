"""One wallet system under two registrations: refused wherever the same address would have the same key."""

from support.gateway_service import BASE_URL, GatewayService, Tenant

KEY = "an own key, wholly made up, 0001"
OTHER = "an own key, wholly made up, 0002"
ELSEWHERE = "https://other.example.com/causeway"
TWICE = (409, "wallet_registered_twice")


async def test_a_second_registration_is_refused(service: GatewayService, tenant: Tenant) -> None:
    """However the address is written; another key, another address and another realm are other wallets."""
    made = await tenant.new_wallet(api_key=KEY)
    before = await service.audit("wallet.created")
    for url in (BASE_URL, BASE_URL + "/", BASE_URL.replace("wallet.", "WALLET."), BASE_URL.replace(".com", ".com:443")):
        again = await tenant.owner.post("/v1/external-wallets", json={"name": "Again", "base_url": url, "api_key": KEY})
        assert (again.status_code, again.json()["code"]) == TWICE, url
    home = await tenant.owner.put("/v1/home-wallet", json={"base_url": BASE_URL, "api_key": KEY})
    assert (home.status_code, home.json()["code"]) == TWICE
    assert await service.audit("wallet.created") == before
    await tenant.new_wallet(api_key=OTHER)
    await tenant.new_wallet(api_key=KEY, base_url=ELSEWHERE)
    await tenant.new_wallet(api_key=KEY, client=tenant.tester)
    await (await service.new_tenant()).new_wallet(api_key=KEY)
    assert (await tenant.owner.delete(f"/v1/external-wallets/{made['id']}")).status_code == 204
    await tenant.new_wallet(api_key=KEY)


async def test_an_edit_or_a_rotation_makes_no_second_registration(tenant: Tenant) -> None:
    """An address at which the key is known already, and a key that is known at this address: nothing changes."""
    await tenant.new_wallet(api_key=KEY)
    moving = await tenant.new_wallet(api_key=KEY, base_url=ELSEWHERE)
    beside = await tenant.new_wallet(api_key=OTHER)
    moved = await tenant.owner.patch(f"/v1/external-wallets/{moving['id']}", json={"base_url": BASE_URL})
    rotated = await tenant.owner.post(f"/v1/external-wallets/{beside['id']}/api-key/rotate", json={"api_key": KEY})
    for answer in (moved, rotated):
        assert (answer.status_code, answer.json()["code"]) == TWICE
    assert (await tenant.owner.get(f"/v1/external-wallets/{moving['id']}")).json()["base_url"] == ELSEWHERE
    shown = await tenant.owner.post(f"/v1/external-wallets/{beside['id']}/api-key/reveal")
    assert shown.json()["api_key"] == OTHER


async def test_the_home_wallet_takes_no_other_wallets_key(tenant: Tenant) -> None:
    """A key that is known at its address is refused for it too."""
    await tenant.new_home(api_key=OTHER)
    await tenant.new_wallet(api_key=KEY)
    answer = await tenant.owner.put("/v1/home-wallet", json={"base_url": BASE_URL, "api_key": KEY})
    assert (answer.status_code, answer.json()["code"]) == TWICE
