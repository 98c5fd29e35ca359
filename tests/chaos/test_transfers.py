"""Random transfers while the wallets lie and processes are killed: no money is lost or doubled, and what is told is true.

``CAUSEWAY_CHAOS_SEED`` repeats a run's transfers, faults and kills; each run prints its seed. ``CAUSEWAY_CHAOS_TRANSFERS`` sets
how many the long run makes.
"""

import asyncio
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

import asyncpg
import httpx2
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chaos.money_books import Books, judge, judge_on_the_way, read_books
from chaos.money_load import SYSTEM, MoneyLoad
from support.figures import Figures
from support.stack import StackProcess, running_stack

_SHORT = 60
_SHORT_KILLS = 4
_FULL = 10_000
_END_SECONDS = 240
_LOOK_SECONDS = 1.0
_KILLED = (
    "wallet-gateway-api-1",
    "wallet-gateway-worker-1",
    "wallet-gateway-worker-2",
    "reference-wallet-api-1",
    "home-wallet-api-1",
    "postgres",
    "valkey",
    "FLUSHALL",
)


def _seed() -> int:
    return int(os.environ.get("CAUSEWAY_CHAOS_SEED") or Random().randrange(1_000_000))


async def test_a_short_run_and_a_checker_that_finds_what_is_planted(show: Figures) -> None:
    """60 transfers under every fault and four kills; then a double credit and a loss, planted, are found."""
    seed = _seed()
    random = Random(seed)
    async with running_stack(CAUSEWAY_GATEWAY_WORKERS="2") as stack:
        load = MoneyLoad(stack=stack, random=random, total=_SHORT)
        books, started_with = await _run(stack, load, random, show, seed=seed, kills_max=_SHORT_KILLS)
        assert judge(books) == []
        async with load.control("home-wallet") as control:
            path = f"/control/systems/{SYSTEM}/own-transactions"
            credited = next(transfer for transfer in books.transfers if transfer.status == "completed")
            planted = {"wallet_id": "w0", "op": "credit", "amount": str(credited.amount)}
            (await control.post(path, json=planted)).raise_for_status()
            found = judge(await read_books(stack, system=SYSTEM, started_with=started_with))
            assert any(wrong.startswith("(1) money") for wrong in found), found
            (await control.post(path, json={**planted, "op": "debit"})).raise_for_status()
            (await control.post(path, json={**planted, "op": "debit", "wallet_id": "w1"})).raise_for_status()
            found = judge(await read_books(stack, system=SYSTEM, started_with=started_with))
            assert any(wrong.startswith("(1) money") for wrong in found), found


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_ten_thousand_transfers(show: Figures) -> None:
    """All invariants hold at the end, and those that no later moment makes good whenever they are looked at on the way."""
    seed = _seed()
    random = Random(seed)
    total = int(os.environ.get("CAUSEWAY_CHAOS_TRANSFERS") or _FULL)
    async with running_stack(CAUSEWAY_GATEWAY_WORKERS="2") as stack:
        load = MoneyLoad(stack=stack, random=random, total=total)
        books, _ = await _run(stack, load, random, show, seed=seed)
        assert judge(books) == []


@dataclass(slots=True)
class _Looks:
    """What was seen on the way."""

    count: int = 0
    wrong: list[str] = field(default_factory=list)

    async def go_on(self, stack: StackProcess, started_with: dict[str, Decimal]) -> None:
        """Judge the books every few seconds; a database that is down has none to show."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                books = await read_books(stack, system=SYSTEM, started_with=started_with)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, httpx2.HTTPError):
                continue
            self.count += 1
            self.wrong += judge_on_the_way(books)


async def _run(
    stack: StackProcess, load: MoneyLoad, random: Random, show: Figures, *, seed: int, kills_max: int | None = None
) -> tuple[Books, dict[str, Decimal]]:
    started_with = await load.prepare()
    killed: Counter[str] = Counter()
    began_at = time.monotonic()
    killing = asyncio.create_task(_kill_again_and_again(stack, random, killed, kills_max))
    looks = _Looks()
    looking = asyncio.create_task(looks.go_on(stack, started_with))
    try:
        await load.run()
        if looking.done():
            looking.result()
    finally:
        for task in (killing, looking):
            task.cancel()
        await asyncio.gather(killing, looking, return_exceptions=True)
    assert looks.wrong == []
    await load.disarm()
    await _until_ended(stack, load.total)
    books = await read_books(stack, system=SYSTEM, started_with=started_with)
    assert {transfer.id for transfer in books.transfers} == set(load.ids.values())
    assert len(load.ids) == load.total
    # Every fault here is one that ends in certainty.
    assert books.statuses()["manual_review"] == 0
    show(
        seed=seed,
        transfers=load.total,
        **books.statuses(),
        refused_by_an_open_breaker=load.refused,
        killed=dict(killed),
        seconds=round(time.monotonic() - began_at, 1),
        still_held=books.held,
        looked_on_the_way=looks.count,
    )
    return books, started_with


async def _kill_again_and_again(
    stack: StackProcess, random: Random, killed: Counter[str], kills_max: int | None
) -> None:
    """End a random part every few seconds, and wait until it is back."""
    while kills_max is None or killed.total() < kills_max:
        await asyncio.sleep(random.uniform(1.0, 8.0))
        name = random.choice(_KILLED)
        killed[name] += 1
        if name == "FLUSHALL":
            client: Redis = Redis.from_url(stack.info()["queue"]["url"])
            try:
                await client.flushall()
            except (RedisError, OSError):
                killed[name] -= 1
            await client.aclose()
        else:
            await stack.until_replaced(name, pid=stack.kill(name), seconds=60)


async def _until_ended(stack: StackProcess, total: int) -> None:
    """Wait until no transfer is pending; engines may still be coming back."""
    ended = 0
    try:
        async with asyncio.timeout(_END_SECONDS + total * 0.05):
            while ended < total:
                await asyncio.sleep(0.5)
                ended = await _count_ended(stack)
    except TimeoutError:
        raise TimeoutError(f"{total - ended} transfers are still pending\n{stack.log()[-4000:]}") from None


async def _count_ended(stack: StackProcess) -> int:
    try:
        connection = await asyncpg.connect(stack.info()["databases"]["wallet-gateway"], timeout=5)
        try:
            count: int = await connection.fetchval("SELECT count(*) FROM transfers WHERE status <> 'pending'")
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, TimeoutError, httpx2.HTTPError):
        return 0
    return count
