"""The demo's money: a balance read, a transfer each way, and one that survives a dropped answer, with its timeline."""

import secrets
from decimal import Decimal
from typing import Any

from embedded.demo_http import checked
from embedded.demo_tenant import Tenancy
from embedded.demo_wallets import (
    CLIENT,
    CURRENCY,
    HOME_ACCOUNT,
    PARTNER_ACCOUNT,
    SYSTEM,
    DemoWallets,
    control_client,
    ensure_wallets,
    gateway_client,
)
from embedded.errors import StackError
from embedded.plan import HOME_WALLET, REFERENCE_WALLET
from embedded.stack import Stack
from embedded.terminal import Terminal

_WAIT_MS = 10_000


async def show_transfers(stack: Stack, tenancy: Tenancy, terminal: Terminal) -> str:
    """Show it once; returns the id of the transfer that survived. Raises StackError when a step is refused."""
    terminal.heading("The demo, part two: money between the CRM's wallet and a partner's")
    async with (
        gateway_client(stack, tenancy) as gateway,
        control_client(stack, HOME_WALLET) as home,
        control_client(stack, REFERENCE_WALLET) as partner,
    ):
        wallets = await ensure_wallets(stack, gateway, home=home, partner=partner)
        test = checked(await gateway.post(f"/v1/external-wallets/{wallets.partner_id}/test-connection"))
        checks = "  ".join(f"{check['name']} {check['status']}" for check in test["checks"])
        terminal.done("connection test", checks)
        before = await _show_balances(wallets, terminal)
        await _transfer(wallets, terminal, "25.00", towards_partner=True)
        await _transfer(wallets, terminal, "10.00", towards_partner=False)
        # The partner carries out the next order and cuts the connection before it has answered.
        checked(
            await partner.post(
                f"/systems/{SYSTEM}/faults", json={"kind": "drop", "operations": ["put"], "when": "after"}
            )
        )
        survived = await _transfer(wallets, terminal, "5.00", towards_partner=True, note="  its answer is dropped")
        _show_timeline(checked(await gateway.get(f"/v1/transfers/{survived}")), terminal)
        after = await _show_balances(wallets, terminal)
    _demand_sums(before, after)
    terminal.done("nothing lost or doubled", f"20.00 {CURRENCY} went over, each order once")
    return survived


async def _show_balances(wallets: DemoWallets, terminal: Terminal) -> dict[str, Decimal]:
    answer = checked(await wallets.gateway.get(f"/v1/clients/{CLIENT}/balances", params={"view": "all"}))
    shown = {item["wallet_id"]: item for item in answer["data"]}
    told = [f"{name} {shown[name]['ledger']} {shown[name]['currency']}" for name in (HOME_ACCOUNT, PARTNER_ACCOUNT)]
    terminal.done(f"balances of {CLIENT}", "   ".join(told))
    return {name: Decimal(item["ledger"]) for name, item in shown.items()}


async def _transfer(
    wallets: DemoWallets, terminal: Terminal, amount: str, *, towards_partner: bool, note: str = ""
) -> str:
    home = {"wallet": "home", "account": HOME_ACCOUNT}
    partner = {"wallet": wallets.partner_id, "account": PARTNER_ACCOUNT}
    source, target = (home, partner) if towards_partner else (partner, home)
    body = {"owner_ref": CLIENT, "source": source, "target": target, "amount": amount, "currency": CURRENCY}
    key = {"Idempotency-Key": f"demo-{secrets.token_hex(8)}"}
    answer = checked(await wallets.gateway.post("/v1/transfers", params={"wait_ms": _WAIT_MS}, json=body, headers=key))
    transfer_id = str(answer["id"])
    if answer["status"] != "completed":
        raise StackError(f"the transfer {transfer_id} is {answer['status']}: {answer['failure']}")
    way = "home → partner" if towards_partner else "partner → home"
    terminal.done(way, f"{amount} {CURRENCY}  {transfer_id}  {answer['status']}{note}")
    return transfer_id


def _show_timeline(transfer: dict[str, Any], terminal: Terminal) -> None:
    terminal.text(f"      {'step':<8} {'call':<8} {'outcome':<12} {'state or reason':<20} took")
    for step in transfer["steps"]:
        for attempt in step["attempts"]:
            outcome = attempt["code"] or attempt["wallet_state"] or attempt["outcome"]
            took = f"{attempt['duration_ms']:.0f} ms" if attempt["duration_ms"] is not None else ""
            terminal.text(f"      {step['kind']:<8} {attempt['call']:<8} {attempt['outcome']:<12} {outcome:<20} {took}")


def _demand_sums(before: dict[str, Decimal], after: dict[str, Decimal]) -> None:
    moved = Decimal("20.00")
    if (before[HOME_ACCOUNT] - after[HOME_ACCOUNT], after[PARTNER_ACCOUNT] - before[PARTNER_ACCOUNT]) != (moved, moved):
        raise StackError(f"the balances went from {before} to {after}, where {moved} should have gone over")
