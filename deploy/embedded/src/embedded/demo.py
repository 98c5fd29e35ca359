"""The demo: events onto the queue as another system would put them there, and each arrives signed at a receiver; then money.

It uses what any integrator has, the HTTP API and the stream, and nothing inside the services.
"""

import asyncio
import base64
import contextlib
import json
import os
import secrets
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from redis.asyncio import Redis

from embedded.demo_http import checked
from embedded.demo_next_steps import show_next_steps
from embedded.demo_tenant import Tenancy
from embedded.demo_transfers import show_transfers
from embedded.errors import StackError
from embedded.plan import DISPATCHER
from embedded.stack import Stack
from embedded.stack_file import STREAM
from embedded.terminal import Terminal

RECEIVER_PROCESS = "demo-receiver"
WEBHOOK_NAME = "Demo receiver"
SUBSCRIBED_EVENTS = ("withdrawal.*", "prop_trading.*", "prop_trading_live.*")
ALL_DELIVERED_WITHIN_SECONDS = 60.0
EVENTS_FILE = Path(__file__).resolve().parents[2] / "demo_events.jsonl"
_SECRET_BYTES = 32
_POLL_SECONDS = 0.05
_FOLLOW_POLL_SECONDS = 0.5
_HTTP_TIMEOUT_SECONDS = 10.0


@dataclass
class Progress:
    """Which of the published events have arrived with a good signature. Times are seconds since the epoch."""

    published_at: dict[str, float]
    verified_ids: set[str] = field(default_factory=set)
    receipts_seen: int = 0
    receiver_run: str = ""

    @property
    def is_complete(self) -> bool:
        return self.verified_ids == set(self.published_at)

    def last_line(self) -> str:
        counts = f"{len(self.verified_ids)} of {len(self.published_at)} deliveries verified"
        if self.is_complete:
            return f"Demo complete: {counts}. Ctrl-C stops the stack."
        return f"Demo incomplete: {counts} within {ALL_DELIVERED_WITHIN_SECONDS:.0f} s. Ctrl-C stops the stack."


async def run_demo(stack: Stack, tenancy: Tenancy, terminal: Terminal) -> Progress:
    """Show the main job once; returns what arrived. Raises StackError when a step is refused."""
    terminal.heading("The demo: approvals and rejections of a CRM, delivered to an integrator")
    secret = stack.kept.get_or_make("demo_webhook_secret", _new_secret)
    await _start_receiver(stack, secret)
    terminal.done("receiver", f"{stack.plan.demo_receiver_url}/webhooks  verifies with the standardwebhooks package")
    async with (
        httpx2.AsyncClient(
            base_url=stack.plan.url(DISPATCHER),
            headers={"Authorization": f"Bearer {tenancy.owner_key}"},
            trust_env=False,
            timeout=_HTTP_TIMEOUT_SECONDS,
        ) as dispatcher,
        httpx2.AsyncClient(
            base_url=stack.plan.demo_receiver_url, trust_env=False, timeout=_HTTP_TIMEOUT_SECONDS
        ) as receiver,
    ):
        webhook_id = await _ensure_webhook(stack, dispatcher, secret)
        terminal.done("webhook", f"{webhook_id}  {' '.join(SUBSCRIBED_EVENTS)}")
        events = demo_events(tenancy.tenant_id)
        progress = Progress(published_at=await _publish(stack.queue_url, events))
        terminal.done("published", f"{len(events)} events to the stream {STREAM}, tenant {tenancy.tenant_id}")
        terminal.text()
        await _watch(receiver, progress, terminal)
        transfer_id = await show_transfers(stack, tenancy, terminal)
        await show_next_steps(stack, dispatcher, webhook_id=webhook_id, transfer_id=transfer_id, terminal=terminal)
    if not progress.is_complete:
        for event_id in sorted(set(progress.published_at) - progress.verified_ids):
            terminal.failed("did not arrive", event_id)
    terminal.heading(progress.last_line())
    return progress


def demo_events(tenant_id: str) -> list[dict[str, Any]]:
    """Read the events to publish, with ids and times of this run: an id that was seen before is only recognised."""
    run = f"demo-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    events: list[dict[str, Any]] = []
    for number, line in enumerate(EVENTS_FILE.read_text(encoding="utf-8").splitlines(), start=1):
        own = {"tenant_id": tenant_id, "environment": "live", "id": f"{run}-{number:02d}"}
        occurred_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        events.append(own | {"occurred_at": occurred_at} | json.loads(line))
    return events


async def _start_receiver(stack: Stack, secret: str) -> None:
    command = [sys.executable, "-m", "embedded.demo_receiver"]
    own = {"DEMO_RECEIVER_PORT": str(stack.plan.demo_receiver_port), "DEMO_RECEIVER_SECRET": secret}
    await stack.start_process(RECEIVER_PROCESS, command, environment=os.environ | own)
    await stack.wait_until_ready(f"{stack.plan.demo_receiver_url}/readyz", watched=RECEIVER_PROCESS)


async def _ensure_webhook(stack: Stack, dispatcher: httpx2.AsyncClient, secret: str) -> str:
    # `every`: the demo shows each approver's step. The default, `first`, starts a payout once per request.
    wanted = {
        "url": f"{stack.plan.demo_receiver_url}/webhooks",
        "events": list(SUBSCRIBED_EVENTS),
        "trigger": "every",
    }
    webhook_id = stack.kept.get("demo_webhook_id")
    if webhook_id is not None:
        response = await dispatcher.patch(f"/v1/webhooks/{webhook_id}", json=wanted)
        if response.is_success:
            # A run that was stopped for long may have left it disabled.
            checked(await dispatcher.post(f"/v1/webhooks/{webhook_id}/enable", json={"pending": "deliver"}))
            return webhook_id
    body = wanted | {"name": WEBHOOK_NAME, "secret": secret, "description": "Made by make run."}
    webhook_id = str(checked(await dispatcher.post("/v1/webhooks", json=body))["id"])
    stack.kept.set("demo_webhook_id", webhook_id)
    return webhook_id


async def _publish(queue_url: str, events: list[dict[str, Any]]) -> dict[str, float]:
    """Put each event on the stream; returns when each was published, by its id."""
    published_at: dict[str, float] = {}
    async with Redis.from_url(queue_url) as queue:
        for event in events:
            published_at[event["id"]] = time.time()
            await queue.xadd(STREAM, {"event": json.dumps(event, ensure_ascii=False)})
    return published_at


async def follow_receiver(stack: Stack, progress: Progress, terminal: Terminal) -> None:
    """Print whatever else arrives, for as long as the stack runs."""
    async with httpx2.AsyncClient(base_url=stack.plan.demo_receiver_url, trust_env=False) as receiver:
        while True:
            # A receiver that was killed is back in a moment.
            with contextlib.suppress(httpx2.HTTPError, StackError):
                await _show_new(receiver, progress, terminal)
            await asyncio.sleep(_FOLLOW_POLL_SECONDS)


async def _watch(receiver: httpx2.AsyncClient, progress: Progress, terminal: Terminal) -> None:
    """Print deliveries as they come, until all have come or the time is up."""
    deadline = time.monotonic() + ALL_DELIVERED_WITHIN_SECONDS
    while not progress.is_complete and time.monotonic() < deadline:
        await _show_new(receiver, progress, terminal)
        await asyncio.sleep(_POLL_SECONDS)


async def _show_new(receiver: httpx2.AsyncClient, progress: Progress, terminal: Terminal) -> None:
    answer = checked(await receiver.get("/received", params={"after": progress.receipts_seen}))
    if progress.receiver_run not in {"", answer["run"]}:
        # Started again since the last look: it counts from the beginning.
        progress.receipts_seen = 0
    progress.receiver_run = answer["run"]
    for receipt in answer["data"]:
        progress.receipts_seen = receipt["number"]
        _show(receipt, progress, terminal)


def _show(receipt: dict[str, Any], progress: Progress, terminal: Terminal) -> None:
    if not receipt["verified"]:
        terminal.failed("refused", f"{receipt['webhook_id']}: {receipt['reason']}")
        return
    published_at = progress.published_at.get(receipt["webhook_id"])
    if published_at is None:
        terminal.arrival(receipt["event_type"], receipt["subject"], "signature and time verified")
        return
    again = ", again" if receipt["webhook_id"] in progress.verified_ids else ""
    progress.verified_ids.add(receipt["webhook_id"])
    took_ms = (receipt["received_at"] - published_at) * 1_000
    verdict = f"signature and time verified{again}, {took_ms:.0f} ms after publishing"
    terminal.arrival(receipt["event_type"], receipt["subject"], verdict)


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
