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
import httpx2

from benchmarks.stack import Stack

ACCOUNTS = 100
"""Pairs of accounts, so that no single row of a wallet is what is measured."""
_SYSTEM = "bench"
_OTHER_SYSTEM = "bench-other"
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
class Beside:
    """Another wallet, which hangs or does not, and how many transfers a second go there; they are not measured."""

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


async def third_wallet(stack: Stack, pair: Pair, *, per_second: int) -> Beside:
    """Register a wallet that answers beside the pair."""
    gateway, url = (stack.info["services"][name]["url"] for name in ("wallet-gateway", "reference-wallet"))
    body = {"name": "third", "base_url": url, "response_signatures": "required"}
    made = await stack.http.post(f"{gateway}/v1/external-wallets", json=body, headers={"x-api-key": pair.owner_key})
    shown = made.raise_for_status().json()
    await _new_system(stack, url, _OTHER_SYSTEM, shown["api_key_id"], shown["api_key"])
    await _open(stack, url, _OTHER_SYSTEM, "x")
    return Beside(wallet_id=shown["id"], per_second=per_second)


@asynccontextmanager
async def hung_wallet(stack: Stack, pair: Pair, *, per_second: int) -> AsyncIterator[Beside]:
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
        yield Beside(wallet_id=made.raise_for_status().json()["id"], per_second=per_second)
    finally:
        peer.terminate()
        await peer.wait()


async def transfers(
    stack: Stack, pair: Pair, *, per_second: int | None, count: int, beside: Beside | None = None
) -> dict[str, float]:
    """Begin ``count`` transfers on a schedule, or as fast as they are taken; the run is void unless every cent is there.

    Latency counts from the scheduled time (without a schedule: from the sending of the call) to the end of the transfer. With
    ``beside`` others go to another wallet meanwhile, which may hang; they are not measured.
    """
    database = await asyncpg.connect(stack.info["databases"]["wallet-gateway"])
    try:
        run = f"{time.time_ns()}"
        async with _sent_to(stack, pair, beside):
            scheduled = await _begin(stack, pair, per_second=per_second, count=count, run=run)
            ended = await _ends_of(database, run, count)
    finally:
        await database.close()
    if len(ended) != count or not await _is_whole(stack):
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
async def _sent_to(stack: Stack, pair: Pair, beside: Beside | None) -> AsyncIterator[None]:
    """Go on beginning transfers to the other wallet, if there is one, for as long as the block runs."""
    if beside is None:
        yield
        return
    sending = asyncio.create_task(_keep_sending(stack, pair, beside))
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.wait([sending])


async def _keep_sending(stack: Stack, pair: Pair, beside: Beside) -> None:
    """Begin transfers to the other wallet on a schedule; 503 while its breaker is open is as it should be."""
    url = stack.info["services"]["wallet-gateway"]["url"] + "/v1/transfers"
    run = time.time_ns()
    headers = {"x-api-key": pair.owner_key}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        start = time.time()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, start + number / beside.per_second - time.time()))
            source = {"wallet": "home", "account": f"h{number % ACCOUNTS}"}
            target = {"wallet": beside.wallet_id, "account": "x"}
            body = {"owner_ref": _OWNER, "source": source, "target": target, "amount": "0.01", "currency": "USD"}
            async with session.post(url, json=body, headers={"idempotency-key": f"beside-{run}-{number}"}) as answer:
                if answer.status not in {201, 503}:
                    raise RuntimeError(f"{answer.status} {await answer.text()}")
                await answer.read()


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
    await _new_system(stack, url, _SYSTEM, key_id, key)
    prefix = "h" if url == stack.info["services"]["home-wallet"]["url"] else "p"
    for number in range(ACCOUNTS):
        await _open(stack, url, _SYSTEM, f"{prefix}{number}")


async def _new_system(stack: Stack, url: str, name: str, key_id: str, key: str) -> None:
    control = {"authorization": f"Bearer {stack.wallet_control_token}"}
    system = f"{url}/control/systems/{name}"
    (await stack.http.put(system, json={}, headers=control)).raise_for_status()
    (await stack.http.put(f"{system}/api-keys/{key_id}", json={"secret": key}, headers=control)).raise_for_status()


async def _open(stack: Stack, url: str, system: str, account: str) -> None:
    control = {"authorization": f"Bearer {stack.wallet_control_token}"}
    opened = {"owner_ref": _OWNER, "currency": "USD", "balance": str(_BALANCE)}
    path = f"{url}/control/systems/{system}/wallets/{account}"
    (await stack.http.put(path, json=opened, headers=control)).raise_for_status()


async def _is_whole(stack: Stack) -> bool:
    """Tell whether all the money is there, once what was begun beside has ended as well."""
    home, partner = (stack.info["services"][name]["url"] for name in ("home-wallet", "reference-wallet"))
    systems = [(home, _SYSTEM), (partner, _SYSTEM), (partner, _OTHER_SYSTEM)]
    for _ in range(_END_SECONDS):
        totals = [await _total(stack, url, system) for url, system in systems]
        if sum(totals) == _BALANCE * (ACCOUNTS * 2 + (1 if totals[-1] else 0)):
            return True
        await asyncio.sleep(1)
    return False


async def _total(stack: Stack, url: str, system: str) -> Decimal:
    """Return the money of a system; none where there is no such system."""
    control = {"authorization": f"Bearer {stack.wallet_control_token}"}
    answer = await stack.http.get(f"{url}/control/systems/{system}", headers=control)
    if answer.status_code == httpx2.codes.NOT_FOUND:
        return Decimal(0)
    return sum((Decimal(item["ledger"]) for item in answer.raise_for_status().json()["totals"]), Decimal(0))
