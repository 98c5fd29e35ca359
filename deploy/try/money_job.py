# ruff: noqa: INP001 - a file that is run, not a package
"""Money over the composed stack, from outside through the published APIs: ``deploy/containers.sh`` runs it after the main job.

Registers the CRM's wallet and a partner's, gives each its key and a client's account by its control API, reads the client's
balances, moves money each way, and demands that both wallets say what was moved, to the cent. The tenant is the main job's.
"""

import argparse
import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
from main_job import Job, checked, client_of, post

_SYSTEM = "trial"
_OWNER_REF = "client-1"
_CURRENCY = "USD"
# Each wallet's account of the client, and what it holds at first.
_HOME_ACCOUNT, _HOME_MONEY = "acct-1", Decimal("1000.00")
_PARTNER_ACCOUNT, _PARTNER_MONEY = "w-1", Decimal("250.00")
_TO_PARTNER, _TO_HOME = Decimal("25.00"), Decimal("10.00")
_WAIT_MS = 10_000
# Both sign their answers, and no balance is remembered: the job compares them.
_WALLET_SETTINGS = {"response_signatures": "required", "balance_cache_seconds": 0}


def furnish(control: httpx2.Client, key: dict[str, Any], *, account: str, money: Decimal) -> None:
    """Tell a wallet the key that the gateway signs with, and open the client's account."""
    opened = {"owner_ref": _OWNER_REF, "currency": _CURRENCY, "balance": str(money)}
    checked(control.put(f"/control/systems/{_SYSTEM}", json={}))
    checked(control.put(f"/control/systems/{_SYSTEM}/api-keys/{key['api_key_id']}", json={"secret": key["api_key"]}))
    checked(control.put(f"/control/systems/{_SYSTEM}/wallets/{account}", json=opened))


def register(gateway: httpx2.Client, args: argparse.Namespace) -> str:
    """Register both wallets as an operator would; return the id of the partner's, whose connection test must be good."""
    token = os.environ["CAUSEWAY_TRY_CONTROL_TOKEN"]
    checked(gateway.put("/v1/home-wallet", json={"name": "The CRM", "base_url": args.home_url, **_WALLET_SETTINGS}))
    partner = post(
        gateway, "/v1/external-wallets", {"name": "Partner", "base_url": args.partner_url, **_WALLET_SETTINGS}
    )
    key = checked(gateway.post("/v1/home-wallet/api-key/reveal"))
    furnish(client_of(args.home_control_url, token), key, account=_HOME_ACCOUNT, money=_HOME_MONEY)
    key = checked(gateway.post(f"/v1/external-wallets/{partner['id']}/api-key/reveal"))
    furnish(client_of(args.partner_control_url, token), key, account=_PARTNER_ACCOUNT, money=_PARTNER_MONEY)
    test = checked(gateway.post(f"/v1/external-wallets/{partner['id']}/test-connection"))
    if any(check["status"] not in {"ok", "skipped"} for check in test["checks"]):
        raise SystemExit(f"the partner's connection test is not good: {json.dumps(test)}")
    return str(partner["id"])


def demand_balances(gateway: httpx2.Client, *, home: Decimal, partner: Decimal) -> None:
    """Read the client's balances over all wallets; exits where they are not these."""
    answer = checked(gateway.get(f"/v1/clients/{_OWNER_REF}/balances", params={"view": "all"}))
    found = {item["wallet_id"]: Decimal(item["ledger"]) for item in answer["data"]}
    if found != {_HOME_ACCOUNT: home, _PARTNER_ACCOUNT: partner}:
        raise SystemExit(f"balances should be {home} and {partner}: {json.dumps(answer)}")


def transfer(gateway: httpx2.Client, *, source: dict[str, str], target: dict[str, str], amount: Decimal) -> None:
    """Move money and wait for its end; exits unless it completed."""
    order = {"owner_ref": _OWNER_REF, "source": source, "target": target, "amount": str(amount), "currency": _CURRENCY}
    key = {"Idempotency-Key": f"trial-{source['account']}-{target['account']}"}
    answer = checked(gateway.post("/v1/transfers", params={"wait_ms": _WAIT_MS}, json=order, headers=key))
    if answer["status"] != "completed":
        raise SystemExit(f"a transfer did not complete: {json.dumps(answer)}")


def main() -> None:
    """Run the job and tell the result in one line; exits non-zero with the reason where it fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True, help="what main_job.py prepare wrote")
    parser.add_argument("--gateway-url", required=True)
    for wallet in ("home", "partner"):
        parser.add_argument(f"--{wallet}-url", required=True, help="as the gateway reaches it")
        parser.add_argument(f"--{wallet}-control-url", required=True, help="as this host reaches it")
    args = parser.parse_args()
    job = Job(**json.loads(args.state.read_text(encoding="utf-8")))
    gateway = client_of(args.gateway_url, job.owner_key)
    partner_id = register(gateway, args)
    home, partner = {"wallet": "home", "account": _HOME_ACCOUNT}, {"wallet": partner_id, "account": _PARTNER_ACCOUNT}
    demand_balances(gateway, home=_HOME_MONEY, partner=_PARTNER_MONEY)
    transfer(gateway, source=home, target=partner, amount=_TO_PARTNER)
    transfer(gateway, source=partner, target=home, amount=_TO_HOME)
    moved = _TO_PARTNER - _TO_HOME
    demand_balances(gateway, home=_HOME_MONEY - moved, partner=_PARTNER_MONEY + moved)
    sys.stdout.write(f"{_TO_PARTNER} there, {_TO_HOME} back; both wallets say so\n")


if __name__ == "__main__":
    main()
