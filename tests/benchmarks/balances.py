"""Benchmarks of balances: the gateway's own share of a read, and what one wallet that hangs costs the others."""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.pace import paced
from benchmarks.stack import Stack
from benchmarks.wallet_peer import OWNER_REF

GOOD_WALLETS = 10
_OTHER_SHARE = 5
"""To so many measured reads comes one of another wallet, which hangs or does not: so both runs ask for the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallets:
    """What is read: balances of wallets that answer at once, and of one that never does; each live, by one key.

    ``direct`` are the good ones' own addresses. ``other`` answers as well, and is not measured.
    """

    good: Sequence[str]
    direct: Sequence[str]
    other: str
    hung: str
    owner_key: str


@asynccontextmanager
async def bench_wallets(stack: Stack) -> AsyncIterator[Wallets]:
    """Start the wallets' process, and register them for a new tenant."""
    peer = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("wallet_peer.py")), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert peer.stdout is not None
        base_url = f"http://127.0.0.1:{int(await peer.stdout.readline())}"
        _, owner_key = await stack.new_tenant("balances")
        addresses = [f"{base_url}/w{number}" for number in range(GOOD_WALLETS)]
        good = [await _register(stack, owner_key, address) for address in addresses]
        other, hung = [await _register(stack, owner_key, f"{base_url}/{name}") for name in ("other", "hang")]
        direct = [f"{address}/v1/balances:query" for address in addresses]
        yield Wallets(good=good, direct=direct, other=other, hung=hung, owner_key=owner_key)
    finally:
        peer.terminate()
        await peer.wait()


async def own_share(wallets: Wallets, *, per_second: int, seconds: int) -> dict[str, float]:
    """Read through the gateway, and ask the wallets directly, both ``per_second``; returns the difference of the medians.

    Whatever the reads of the other wallet cost beside counts against the gateway.
    """
    through = await reads(wallets, per_second=per_second, seconds=seconds)
    direct: list[float] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        tasks = []
        async for number, scheduled in paced(per_second * seconds, per_second=per_second):
            url = wallets.direct[number % len(wallets.direct)]
            tasks.append(asyncio.create_task(_ask(session, url, scheduled, direct)))
        await asyncio.gather(*tasks)
    asked_ms = statistics.median(direct)
    return {"p50_ms": through["p50_ms"] - asked_ms, "direct_p50_ms": asked_ms, "through_p50_ms": through["p50_ms"]}


async def reads(wallets: Wallets, *, per_second: int, seconds: int, with_hung: bool = False) -> dict[str, float]:
    """Read on a fixed schedule; latency from the scheduled time to the last byte, of the measured wallets alone."""
    latencies: list[float] = []
    async with aiohttp.ClientSession(
        headers={"x-api-key": wallets.owner_key}, connector=aiohttp.TCPConnector(limit=0)
    ) as session:
        tasks = [asyncio.create_task(_read(session, url, time.perf_counter(), [])) for url in wallets.good]
        await asyncio.gather(*tasks)
        tasks, beside = [], []
        async for number, scheduled in paced(per_second * seconds, per_second=per_second):
            url = wallets.good[number % len(wallets.good)]
            tasks.append(asyncio.create_task(_read(session, url, scheduled, latencies)))
            if number % _OTHER_SHARE == 0:
                url = wallets.hung if with_hung else wallets.other
                beside.append(asyncio.create_task(_read(session, url, scheduled, [])))
        await asyncio.gather(*tasks)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    latencies.sort()
    return {
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[int(len(latencies) * 0.99)],
        "max_ms": latencies[-1],
    }


async def _read(session: aiohttp.ClientSession, url: str, scheduled: float, latencies: list[float]) -> None:
    async with session.get(url) as answer:
        shown = await answer.json()
        if answer.status != 200 or (not shown["data"] and not shown["errors"]):
            raise RuntimeError(f"not a balance, the run is void: {shown}")
        latencies.append((time.perf_counter() - scheduled) * 1000)


async def _ask(session: aiohttp.ClientSession, url: str, scheduled: float, latencies: list[float]) -> None:
    async with session.post(url, json={"owner_refs": [OWNER_REF]}) as answer:
        if not (await answer.json())["data"]:
            raise RuntimeError("not a balance, the run is void")
        latencies.append((time.perf_counter() - scheduled) * 1000)


async def _register(stack: Stack, owner_key: str, base_url: str) -> str:
    gateway = stack.info["services"]["wallet-gateway"]["url"]
    body = {"name": base_url[-8:], "base_url": base_url, "balance_cache_seconds": 0, "timeout_seconds": 30}
    answer = await stack.http.post(f"{gateway}/v1/external-wallets", json=body, headers={"x-api-key": owner_key})
    wallet_id = answer.raise_for_status().json()["id"]
    return f"{gateway}/v1/external-wallets/{wallet_id}/balances?owner_ref={OWNER_REF}"
