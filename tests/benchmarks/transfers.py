"""Benchmarks of transfers: completed ones a second between the stack's two reference wallets, and how long each takes."""

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import aiohttp
import asyncpg

from benchmarks.stack import Stack

ACCOUNTS = 100
"""Pairs of accounts, so that no single row of a wallet is what is measured."""
_SYSTEM = "bench"
_OWNER = "client-bench"
_BALANCE = Decimal(1_000_000)
_END_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The two wallets, and the key that moves money between them."""

    owner_key: str
    partner_id: str
    tenant_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hung:
    """A wallet that takes calls and never answers, and how many transfers a second go there."""

    wallet_id: str
    per_second: int


@asynccontextmanager
async def bench_pair(stack: Stack) -> AsyncIterator[Pair]:
    """Register both wallets for a new tenant, with accounts full of money."""
    tenant_id, owner_key = await stack.new_tenant("transfers")
    gateway = stack.info["services"]["wallet-gateway"]["url"]
    headers = {"x-api-key": owner_key}
    settings = {"response_signatures": "required"}
    home_url, partner_url = (stack.info["services"][name]["url"] for name in ("home-wallet", "reference-wallet"))
    home = await stack.http.put(f"{gateway}/v1/home-wallet", json={"base_url": home_url, **settings}, headers=headers)
    partner = await stack.http.post(
        f"{gateway}/v1/external-wallets", json={"name": "bench", "base_url": partner_url, **settings}, headers=headers
    )
    for url, made in ((home_url, home.raise_for_status().json()), (partner_url, partner.raise_for_status().json())):
        await _furnish(stack, url, made["api_key_id"], made["api_key"])
    yield Pair(owner_key=owner_key, partner_id=partner.json()["id"], tenant_id=tenant_id)


@asynccontextmanager
async def hung_wallet(stack: Stack, pair: Pair, *, per_second: int) -> AsyncIterator[Hung]:
    """Start a wallet that hangs, and register it beside the pair."""
    peer = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("wallet_peer.py")), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert peer.stdout is not None
        base_url = f"http://127.0.0.1:{int(await peer.stdout.readline())}/hang"
        gateway = stack.info["services"]["wallet-gateway"]["url"]
        body = {"name": "hung", "base_url": base_url, "timeout_seconds": 30}
        made = await stack.http.post(f"{gateway}/v1/external-wallets", json=body, headers={"x-api-key": pair.owner_key})
        yield Hung(wallet_id=made.raise_for_status().json()["id"], per_second=per_second)
    finally:
        peer.terminate()
        await peer.wait()


async def transfers(
    stack: Stack, pair: Pair, *, per_second: int | None, count: int, beside_hung: Hung | None = None
) -> dict[str, float]:
    """Begin ``count`` transfers on a schedule, or as fast as they are taken; the run is void unless every cent is there.

    Latency counts from the scheduled time (without a schedule: from the sending of the call) to the end of the transfer. With
    ``beside_hung`` others go to a wallet that never answers meanwhile; they are not counted.
    """
    database = await asyncpg.connect(stack.info["databases"]["wallet-gateway"])
    try:
        run = f"{time.time_ns()}"
        async with _sent_to(stack, pair, beside_hung):
            scheduled = await _begin(stack, pair, per_second=per_second, count=count, run=run)
            ended = await _ends_of(database, run, count)
    finally:
        await database.close()
    if len(ended) != count or await _total(stack) != _BALANCE * ACCOUNTS * 2:
        raise RuntimeError(f"{len(ended)} of {count} completed, or money is missing: the run is void")
    took = sorted((ended[key] - at) * 1000 for key, at in scheduled.items())
    return {
        "transfers_per_second": count / (max(ended.values()) - min(scheduled.values())),
        "p50_ms": took[len(took) // 2],
        "p99_ms": took[int(len(took) * 0.99)],
    }


async def _begin(stack: Stack, pair: Pair, *, per_second: int | None, count: int, run: str) -> dict[str, float]:
    """Begin transfers; returns for when each was scheduled, in unix seconds, by its Idempotency-Key."""
    url = stack.info["services"]["wallet-gateway"]["url"] + "/v1/transfers"
    free = asyncio.Semaphore(64)
    headers = {"x-api-key": pair.owner_key}
    scheduled: dict[str, float] = {}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        start = time.time() + 0.1
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                key = f"{run}-{number}"
                if per_second:
                    scheduled[key] = start + number / per_second
                    await asyncio.sleep(max(0.0, scheduled[key] - time.time()))
                await free.acquire()
                scheduled.setdefault(key, time.time())
                task = group.create_task(_post(session, url, pair, number, key=key))
                task.add_done_callback(lambda _task: free.release())
    return scheduled


async def _post(session: aiohttp.ClientSession, url: str, pair: Pair, number: int, *, key: str) -> None:
    sides = [
        {"wallet": "home", "account": f"h{number % ACCOUNTS}"},
        {"wallet": pair.partner_id, "account": f"p{number % ACCOUNTS}"},
    ]
    source, target = sides if number % 2 else sides[::-1]
    body = {"owner_ref": _OWNER, "source": source, "target": target, "amount": "1.00", "currency": "USD"}
    async with session.post(url, json=body, headers={"idempotency-key": key}) as answer:
        if answer.status != 201:
            raise RuntimeError(f"{answer.status} {await answer.text()}")
        await answer.read()


@asynccontextmanager
async def _sent_to(stack: Stack, pair: Pair, hung: Hung | None) -> AsyncIterator[None]:
    """Go on beginning transfers to the wallet that hangs, if there is one, for as long as the block runs."""
    if hung is None:
        yield
        return
    sending = asyncio.create_task(_keep_sending(stack, pair, hung))
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.wait([sending])


async def _keep_sending(stack: Stack, pair: Pair, hung: Hung) -> None:
    """Begin transfers to the wallet that hangs; 503 while its breaker is open is as it should be."""
    url = stack.info["services"]["wallet-gateway"]["url"] + "/v1/transfers"
    run = time.time_ns()
    headers = {"x-api-key": pair.owner_key}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        for number in itertools.count():
            source = {"wallet": "home", "account": f"h{number % ACCOUNTS}"}
            target = {"wallet": hung.wallet_id, "account": "x"}
            body = {"owner_ref": _OWNER, "source": source, "target": target, "amount": "0.01", "currency": "USD"}
            async with session.post(url, json=body, headers={"idempotency-key": f"hung-{run}-{number}"}) as answer:
                if answer.status not in {201, 503}:
                    raise RuntimeError(f"{answer.status} {await answer.text()}")
                await answer.read()
            await asyncio.sleep(1 / hung.per_second)


async def _ends_of(database: asyncpg.Connection, run: str, count: int) -> dict[str, float]:
    """Return when each transfer of a run was completed, in unix seconds, by its Idempotency-Key, once all have ended."""
    async with asyncio.timeout(_END_SECONDS):
        while True:
            pending: int = await database.fetchval("SELECT count(*) FROM transfers WHERE status = 'pending'")
            if pending < count:
                rows = await database.fetch(
                    "SELECT idempotency_key AS key, extract(epoch FROM ended_at)::float8 AS at, status FROM transfers"
                    " WHERE idempotency_key LIKE $1 AND status <> 'pending'",
                    f"{run}-%",
                )
                if len(rows) == count:
                    return {row["key"]: row["at"] for row in rows if row["status"] == "completed"}
            await asyncio.sleep(0.2)


async def _furnish(stack: Stack, url: str, key_id: str, key: str) -> None:
    control = {"authorization": f"Bearer {stack.wallet_control_token}"}
    system = f"{url}/control/systems/{_SYSTEM}"
    (await stack.http.put(system, json={}, headers=control)).raise_for_status()
    (await stack.http.put(f"{system}/api-keys/{key_id}", json={"secret": key}, headers=control)).raise_for_status()
    opened = {"owner_ref": _OWNER, "currency": "USD", "balance": str(_BALANCE)}
    for number in range(ACCOUNTS):
        for prefix in "hp":
            name = f"{system}/wallets/{prefix}{number}"
            if (prefix == "h") == (url == stack.info["services"]["home-wallet"]["url"]):
                (await stack.http.put(name, json=opened, headers=control)).raise_for_status()


async def _total(stack: Stack) -> Decimal:
    total = Decimal(0)
    control = {"authorization": f"Bearer {stack.wallet_control_token}"}
    for name in ("home-wallet", "reference-wallet"):
        url = f"{stack.info['services'][name]['url']}/control/systems/{_SYSTEM}"
        shown = (await stack.http.get(url, headers=control)).raise_for_status().json()
        total += sum(Decimal(item["ledger"]) for item in shown["totals"])
    return total
