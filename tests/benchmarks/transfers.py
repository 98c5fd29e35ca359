"""Benchmarks of transfers: completed ones a second between the stack's two reference wallets, and how long each takes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

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


async def transfers(stack: Stack, pair: Pair, *, per_second: int | None, count: int) -> dict[str, float]:
    """Begin ``count`` transfers on a schedule, or as fast as they are taken; the run is void unless every cent is there."""
    database = await asyncpg.connect(stack.info["databases"]["wallet-gateway"])
    try:
        before = await database.fetchval("SELECT count(*) FROM transfers")
        started_at = await database.fetchval("SELECT now()")
        await _begin(stack, pair, per_second=per_second, count=count)
        await _wait_until_ended(database, before + count)
        row = await database.fetchrow(
            "SELECT count(*) FILTER (WHERE status = 'completed') AS completed,"
            " extract(epoch FROM max(ended_at) - min(created_at)) AS seconds,"
            " percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - created_at) * 1000)"
            " AS ms FROM transfers WHERE created_at >= $1",
            started_at,
        )
    finally:
        await database.close()
    if row["completed"] != count or await _total(stack) != _BALANCE * ACCOUNTS * 2:
        raise RuntimeError(f"{row['completed']} of {count} completed, or money is missing: the run is void")
    return {
        "transfers_per_second": count / float(row["seconds"]),
        "p50_ms": float(row["ms"][0]),
        "p99_ms": float(row["ms"][1]),
    }


async def _begin(stack: Stack, pair: Pair, *, per_second: int | None, count: int) -> None:
    url = stack.info["services"]["wallet-gateway"]["url"] + "/v1/transfers"
    free = asyncio.Semaphore(64)
    headers = {"x-api-key": pair.owner_key}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        run = time.time_ns()
        start = time.perf_counter() + 0.1
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                if per_second:
                    await asyncio.sleep(max(0.0, start + number / per_second - time.perf_counter()))
                await free.acquire()
                task = group.create_task(_post(session, url, pair, number, key=f"{run}-{number}"))
                task.add_done_callback(lambda _task: free.release())


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


async def _wait_until_ended(database: asyncpg.Connection, ended: int) -> None:
    async with asyncio.timeout(_END_SECONDS):
        while await _count_ended(database) < ended:  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.1)


async def _count_ended(database: asyncpg.Connection) -> int:
    count: int = await database.fetchval("SELECT count(*) FROM transfers WHERE status <> 'pending'")
    return count


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
