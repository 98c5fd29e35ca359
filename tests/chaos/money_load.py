"""Random transfers between the stack's two wallets, while both lie, stall and break as often as a seed says."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import httpx2

from support.stack import StackProcess

SYSTEM = "chaos"
OWNER = "client-chaos"
ACCOUNTS = 20
BALANCE = Decimal("500.00")
_AT_A_TIME = 16
_STEP_SECONDS = 10
_RETRY_SECONDS = 0.2
FAULTS: Sequence[dict[str, Any]] = (
    {"kind": "drop", "when": "before", "probability": 0.02},
    {"kind": "drop", "when": "after", "probability": 0.03},
    {"kind": "late", "delay_ms": 1500, "probability": 0.01},
    {"kind": "late", "delay_ms": 14_000, "operations": ["put"], "probability": 0.005},
    {"kind": "delay", "when": "after", "delay_ms": 1500, "probability": 0.01},
    {"kind": "status", "status": 500, "when": "after", "probability": 0.02},
    {"kind": "status", "status": 503, "when": "before", "probability": 0.01},
    {"kind": "html", "status": 502, "when": "after", "probability": 0.01},
    {"kind": "html", "status": 404, "when": "before", "probability": 0.01},
    {"kind": "empty", "probability": 0.005},
    {"kind": "repeat_true", "probability": 0.005},
    {"kind": "truncated", "probability": 0.01},
    {"kind": "number_amount", "probability": 0.005},
    {"kind": "duplicate_keys", "probability": 0.005},
    {"kind": "bad_signature", "probability": 0.01},
    {"kind": "no_signature", "probability": 0.01},
    {"kind": "replayed_signature", "probability": 0.005},
)


@dataclass(slots=True, kw_only=True)
class MoneyLoad:
    """One run's wallets and transfers. ``ids``: what was answered for each, by number."""

    stack: StackProcess
    random: Random
    total: int
    ids: dict[int, str] = field(default_factory=dict)
    refused: int = 0
    _partner: str = ""

    async def prepare(self) -> dict[str, Decimal]:
        """Register both wallets, open accounts with money, arm the faults; returns what each wallet starts with."""
        settings = {"response_signatures": "required", "timeout_seconds": 1, "step_seconds": _STEP_SECONDS}
        services = self.stack.info()["services"]
        async with self.stack.client("wallet-gateway", "owner") as gateway:
            home = await gateway.put("/v1/home-wallet", json={"base_url": services["home-wallet"]["url"], **settings})
            wanted = {"name": "chaos", "base_url": services["reference-wallet"]["url"], **settings}
            partner = await gateway.post("/v1/external-wallets", json=wanted)
        self._partner = partner.raise_for_status().json()["id"]
        await self._furnish("home-wallet", home.raise_for_status().json())
        await self._furnish("reference-wallet", partner.json())
        return dict.fromkeys(("home-wallet", "reference-wallet"), BALANCE * ACCOUNTS)

    async def run(self) -> None:
        """Begin every transfer, each until it is answered, whatever goes down meanwhile."""
        free = asyncio.Semaphore(_AT_A_TIME)
        wanted = [self._wanted(number) for number in range(self.total)]
        async with self.stack.client("wallet-gateway", "owner") as gateway, asyncio.TaskGroup() as group:
            for number, body in enumerate(wanted):
                await free.acquire()
                task = group.create_task(self._begin(gateway, number, body))
                task.add_done_callback(lambda _task: free.release())

    async def disarm(self) -> None:
        """Let the wallets tell the truth from here on."""
        for service in ("home-wallet", "reference-wallet"):
            async with self.control(service) as control:
                while not await _is_done(control, f"/control/systems/{SYSTEM}/faults"):  # noqa: ASYNC110 - it may be down
                    await asyncio.sleep(_RETRY_SECONDS)

    def control(self, service: str) -> httpx2.AsyncClient:
        """Return a client of a wallet's control API."""
        kept = json.loads((self.stack.data_dir / "secrets.json").read_text())
        return self.stack.client(service, kept["wallet_control_token"])

    def _wanted(self, number: int) -> dict[str, Any]:
        home = {"wallet": "home", "account": f"w{self.random.randrange(ACCOUNTS)}"}
        partner = {"wallet": self._partner, "account": f"w{self.random.randrange(ACCOUNTS)}"}
        source, target = (home, partner) if self.random.random() < 0.5 else (partner, home)
        amount = Decimal(self.random.randrange(1, 6_000)) / 100
        body = {"owner_ref": OWNER, "source": source, "target": target, "currency": "USD", "reference": f"n{number}"}
        return {**body, "amount": f"{amount:.2f}"}

    async def _begin(self, gateway: httpx2.AsyncClient, number: int, body: dict[str, Any]) -> None:
        """Ask until the transfer has begun, as a caller would: also past an open breaker, and while the gateway is away."""
        while True:
            try:
                answer = await gateway.post("/v1/transfers", json=body, headers={"idempotency-key": f"n-{number}"})
            except httpx2.TransportError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if answer.status_code == 201:
                self.ids[number] = answer.json()["id"]
                return
            assert answer.status_code >= 500, answer.text
            if answer.json()["code"] == "wallet_unavailable":
                self.refused += 1
            await asyncio.sleep(_RETRY_SECONDS)

    async def _furnish(self, service: str, made: dict[str, Any]) -> None:
        async with self.control(service) as control:
            system = f"/control/systems/{SYSTEM}"
            (await control.put(system, json={})).raise_for_status()
            key = {"secret": made["api_key"]}
            (await control.put(f"{system}/api-keys/{made['api_key_id']}", json=key)).raise_for_status()
            opened = {"owner_ref": OWNER, "currency": "USD", "balance": str(BALANCE)}
            for number in range(ACCOUNTS):
                (await control.put(f"{system}/wallets/w{number}", json=opened)).raise_for_status()
            for rule in FAULTS:
                seed = self.random.randrange(1_000_000)
                (await control.post(f"{system}/faults", json={"count": None, "seed": seed, **rule})).raise_for_status()


async def _is_done(control: httpx2.AsyncClient, path: str) -> bool:
    try:
        return (await control.delete(path)).is_success
    except httpx2.TransportError:
        return False
