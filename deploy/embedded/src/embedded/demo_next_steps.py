"""What to try once the demo has run: lines that work when pasted, without a key in any of them."""

import json
import shlex

import httpx2

from embedded.demo_wallets import CLIENT
from embedded.plan import CREDENTIALS, DISPATCHER, GATEWAY
from embedded.stack import Stack
from embedded.terminal import Terminal

_SUBJECT = "w0n3xt77"
_EVENT = {
    "type": "withdrawal.rejected",
    "subject": _SUBJECT,
    "data": {
        "id": _SUBJECT,
        "type": "withdrawal",
        "status": "rejected",
        "user_id": "u7k2m9qa",
        "request_time": "2026-03-02 12:00:00",
    },
}


async def show_next_steps(
    stack: Stack, dispatcher: httpx2.AsyncClient, *, webhook_id: str, transfer_id: str, terminal: Terminal
) -> None:
    """Print one command per thing that a newcomer may want to see next."""
    api = stack.plan.url(DISPATCHER)
    as_owner = f"curl -s -K {shlex.quote(str(stack.file.curl_path('owner')))}"
    as_publisher = f"curl -s -K {shlex.quote(str(stack.file.curl_path('publisher')))}"
    event = shlex.quote(json.dumps(_EVENT, separators=(",", ":")))
    terminal.heading("Try next, in another terminal")
    terminal.command("the latest deliveries", f"{as_owner} '{api}/v1/deliveries?limit=3'")
    delivery_id = await _latest_delivery_id(dispatcher, webhook_id)
    if delivery_id:
        terminal.command("one of them, with every attempt", f"{as_owner} {api}/v1/deliveries/{delivery_id}")
    terminal.command(
        "publish an event over HTTP; it arrives at the receiver",
        f"{as_publisher} {api}/v1/events -H 'content-type: application/json' -d {event}",
    )
    terminal.command("what the receiver got", f"curl -s {stack.plan.demo_receiver_url}/received")
    terminal.command("the ledger: every accepted event is accounted for", f"{as_owner} {api}/v1/ledger")
    gateway = stack.plan.url(GATEWAY)
    terminal.command("the transfer that survived, with every call", f"{as_owner} {gateway}/v1/transfers/{transfer_id}")
    terminal.command("the client's money", f"{as_owner} '{gateway}/v1/clients/{CLIENT}/balances?view=all'")
    terminal.command("the API, in a browser", f"{api}/docs  {stack.plan.url(CREDENTIALS)}/docs  {gateway}/docs")


async def _latest_delivery_id(dispatcher: httpx2.AsyncClient, webhook_id: str) -> str | None:
    response = await dispatcher.get("/v1/deliveries", params={"webhook_id": webhook_id, "limit": 1})
    deliveries = response.json().get("data", []) if response.is_success else []
    return str(deliveries[0]["id"]) if deliveries else None
