"""The demo's two wallets: registered at the gateway as an operator would, and given their keys and money by their control API.

The home wallet and the partner's are the reference wallet twice; each knows the gateway by one API key, and has one wallet of the
demo's client.
"""

from dataclasses import dataclass
from typing import Any

import httpx2

from embedded.demo_http import checked
from embedded.demo_tenant import Tenancy
from embedded.plan import GATEWAY, HOME_WALLET, REFERENCE_WALLET, Service
from embedded.stack import Stack

CLIENT = "client-42"
HOME_ACCOUNT = "acct-42"
PARTNER_ACCOUNT = "w-118"
CURRENCY = "USD"
SYSTEM = "demo"
_HTTP_TIMEOUT_SECONDS = 20.0
# Both sign their answers. Each balance is asked for anew, since the demo compares them.
_SETTINGS = {"response_signatures": "required", "balance_cache_seconds": 0}
_FIRST_MONEY = {HOME_WALLET: (HOME_ACCOUNT, "1000.00"), REFERENCE_WALLET: (PARTNER_ACCOUNT, "250.00")}


@dataclass(frozen=True)
class DemoWallets:
    """The gateway as the owner calls it, and the control API of the partner's wallet."""

    gateway: httpx2.AsyncClient
    partner_control: httpx2.AsyncClient
    partner_id: str


def gateway_client(stack: Stack, tenancy: Tenancy) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=stack.plan.url(GATEWAY),
        headers={"Authorization": f"Bearer {tenancy.owner_key}"},
        trust_env=False,
        timeout=_HTTP_TIMEOUT_SECONDS,
    )


def control_client(stack: Stack, wallet: Service) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=f"{stack.plan.url(wallet)}/control",
        headers={"Authorization": f"Bearer {stack.environments.wallet_control_token}"},
        trust_env=False,
        timeout=_HTTP_TIMEOUT_SECONDS,
    )


async def ensure_wallets(
    stack: Stack, gateway: httpx2.AsyncClient, *, home: httpx2.AsyncClient, partner: httpx2.AsyncClient
) -> DemoWallets:
    """Register both wallets where they are not, and see to it that each knows its key and has money. Raises StackError."""
    settings = {"base_url": stack.plan.url(HOME_WALLET), **_SETTINGS}
    checked(await gateway.put("/v1/home-wallet", json={"name": "The CRM's wallet", **settings}))
    key = checked(await gateway.post("/v1/home-wallet/api-key/reveal"))
    await _furnish(home, key, HOME_WALLET)
    partner_id = await _ensure_partner(stack, gateway)
    key = checked(await gateway.post(f"/v1/external-wallets/{partner_id}/api-key/reveal"))
    await _furnish(partner, key, REFERENCE_WALLET)
    return DemoWallets(gateway=gateway, partner_control=partner, partner_id=partner_id)


async def _ensure_partner(stack: Stack, gateway: httpx2.AsyncClient) -> str:
    settings = {"base_url": stack.plan.url(REFERENCE_WALLET), **_SETTINGS}
    kept = stack.kept.get("demo_wallet_id")
    if kept is not None and (await gateway.patch(f"/v1/external-wallets/{kept}", json=settings)).is_success:
        return kept
    made = checked(await gateway.post("/v1/external-wallets", json={"name": "Payout partner", **settings}))
    stack.kept.set("demo_wallet_id", made["id"])
    return str(made["id"])


async def _furnish(control: httpx2.AsyncClient, key: dict[str, Any], wallet: Service) -> None:
    """Tell a wallet the key that the gateway signs with, and open the client's account."""
    checked(await control.put(f"/systems/{SYSTEM}", json={}))
    checked(await control.put(f"/systems/{SYSTEM}/api-keys/{key['api_key_id']}", json={"secret": key["api_key"]}))
    checked(await control.delete(f"/systems/{SYSTEM}/faults"))
    account, money = _FIRST_MONEY[wallet]
    opened = {"owner_ref": CLIENT, "currency": CURRENCY, "balance": money}
    checked(await control.put(f"/systems/{SYSTEM}/wallets/{account}", json=opened))
