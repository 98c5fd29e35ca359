"""A repeated creation shows another credential of the realm nothing that it may not read."""

from typing import Any

import pytest

from support.gateway_service import BASE_URL, GatewayService, Tenant
from support.repeated_creations import shown_to_who_may_read

_WALLETS = ("external_wallets:update", "external_wallets:read")
#: Path, body, the scope that does it, and the one that shows what it made.
CREATIONS: dict[str, tuple[str, Any, str, str]] = {
    "wallet": ("/v1/external-wallets", {"name": "x", "base_url": f"{BASE_URL}/x"}, *_WALLETS),
    "rotation": ("/v1/external-wallets/{wallet}/api-key/rotate", {}, *_WALLETS),
    "home-rotation": ("/v1/home-wallet/api-key/rotate", {}, *_WALLETS),
    "reconciliation": (
        *("/v1/reconciliations", {"external_wallet_id": "{wallet}"}),
        *("transfers:resolve", "transfers:read"),
    ),
}


@pytest.mark.parametrize("kind", CREATIONS)
async def test_a_repeated_creation_shows_nobody_more_than_it_may_see(
    service: GatewayService, tenant: Tenant, kind: str
) -> None:
    """The maker gets its answer again, and so does who may read such objects; another one of the realm does not."""
    template, body, write, read = CREATIONS[kind]
    wallet = (await tenant.new_wallet())["id"]
    await tenant.new_home(base_url=f"{BASE_URL}/home")
    path = template.format(wallet=wallet)
    body = {name: wallet if value == "{wallet}" else value for name, value in body.items()}
    maker, reader, writer = [
        await service.client_with(tenant.id, scopes=scopes) for scopes in ([write], [write, read], [write])
    ]
    await shown_to_who_may_read(path, body, key=kind, maker=maker, reader=reader, writer=writer, read=read)


@pytest.mark.parametrize("query", ["", "?wait_ms=0"])
async def test_a_repeated_transfer_shows_nobody_more_than_it_may_see(
    service: GatewayService, tenant: Tenant, query: str
) -> None:
    """By either way through the route: without a query, and with one."""
    source, target = [(await tenant.new_wallet(base_url=f"{BASE_URL}/{name}"))["id"] for name in ("one", "two")]
    body = {
        "owner_ref": "c",
        "source": {"wallet": source, "account": "a"},
        "target": {"wallet": target, "account": "b"},
        "amount": "1.00",
        "currency": "USD",
    }
    maker, reader, writer = [
        await service.client_with(tenant.id, scopes=["transfers:create", *more])
        for more in ([], ["transfers:read"], [])
    ]
    await shown_to_who_may_read(
        f"/v1/transfers{query}", body, key="k", maker=maker, reader=reader, writer=writer, read="transfers:read"
    )
