"""Random transfers while the wallets lie and processes are killed: no money is lost or doubled, and what is told is true.

``CAUSEWAY_CHAOS_SEED`` repeats a run's transfers, faults and kills; each run prints its seed. ``CAUSEWAY_CHAOS_TRANSFERS`` sets
how many the long run makes.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chaos.money_backup import DATABASE_IS_AWAY, Backup, until_read
from chaos.money_books import Books, judge, judge_on_the_way, read_books
from chaos.money_clerk import Clerk, decide_until_nothing_is_open
from chaos.money_crowds import AMOUNT, Paid, judge_crowd
from chaos.money_hands import Hands
from chaos.money_load import MoneyLoad
from chaos.money_names import wallet_names
from chaos.money_struck import count_struck
from chaos.money_wallets import HOLDING, HOME, Wallets
from support.figures import Figures
from support.stack import StackProcess, running_stack
from support.tcp_relay import TcpRelay, tcp_relay

_SHORT = 150
_SHORT_KILLS = 4
_FULL = 10_000
_REVIEW_AFTER = {"CAUSEWAY_TRANSFER_REVIEW_AFTER_SECONDS": "180"}
"""Where a call was cut off at an address where nobody listens any more, only a person can tell; a day would be too long."""
_END_SECONDS = 600
"""So long after the load all have ended: what nobody answers for is looked at up to five minutes after the time before."""
_LOOK_SECONDS = 1.0
_SETTINGS = {"response_signatures": "required", "timeout_seconds": 1, "step_seconds": 10}
_KILLED = (
    "wallet-gateway-api-1",
    "wallet-gateway-worker-1",
    "wallet-gateway-worker-2",
    "reference-wallet-api-1",
    "home-wallet-api-1",
    "postgres",
    "valkey",
    "FLUSHALL",
    "pause of wallet-gateway-worker-1",
    "pause of wallet-gateway-worker-2",
    "pause of reference-wallet-api-1",
)
_PAUSE = "pause of "
_PAUSE_SECONDS = 6.0
"""Longer than a lease: the other worker takes over, and then there are two that think that a transfer is theirs.

A wallet server that stands still takes connections, and answers nobody.
"""


def _seed() -> int:
    return int(os.environ.get("CAUSEWAY_CHAOS_SEED") or Random().randrange(1_000_000))


@pytest.mark.timeout(900)
async def test_a_short_run_and_a_checker_that_finds_what_is_planted(show: Figures) -> None:
    """150 transfers and a crowd under every fault and four kills; then what is planted is found: a double credit, a loss."""
    async with _wallets() as (wallets, relay):
        run = _Run(wallets=wallets, relay=relay, seed=_seed(), total=_SHORT, kills_max=_SHORT_KILLS, pace=0.4)
        books = await run.carry_out(show)
        assert judge(books) == []
        async with run.wallets.control(HOME.service) as control:
            path = f"/control/systems/{HOME.name}/own-transactions"
            credited = next(each for each in books.transfers if each.status == "completed" and each.currency == "USD")
            planted = {"wallet_id": "w0", "op": "credit", "amount": str(credited.amount)}
            (await control.post(path, json=planted)).raise_for_status()
            found = judge(await run.read())
            assert any(wrong.startswith("(1) money") for wrong in found), found
            (await control.post(path, json={**planted, "op": "debit"})).raise_for_status()
            (await control.post(path, json={**planted, "op": "debit"})).raise_for_status()
            found = judge(await run.read())
            assert any(wrong.startswith("(1) money") for wrong in found), found
        (crowd,) = run.load.crowds
        async with run.wallets.control(crowd.system.service) as control:
            path = f"/control/systems/{crowd.system.name}/own-transactions"
            planted = {"wallet_id": crowd.account, "op": "credit", "amount": str(AMOUNT)}
            (await control.post(path, json=planted)).raise_for_status()
        found = judge(await run.read())
        assert any(f"of {crowd.account} are completed, and it has paid" in wrong for wrong in found), found


@pytest.mark.parametrize(
    ("completed", "refused", "given_back", "spent", "found"),
    [
        *((9, 41, 0, "90.00", []), (6, 41, 3, "60.00", []), (0, 0, 50, "0.00", [])),
        (10, 40, 0, "100.00", ["(4) crowd0 could pay for 9, and 10 are completed"]),
        (8, 42, 0, "80.00", ["(4) crowd0 could pay for 9, and 42 of 50 were refused"]),
        (6, 41, 3, "70.00", ["(3) 6 of crowd0 are completed, and it has paid 70.00"]),
    ],
)
def test_a_crowd_is_judged(completed: int, refused: int, given_back: int, spent: str, found: list[str]) -> None:
    """Each wrong is found: more than there was money for, a refusal while there was some, money that did not come back."""
    outcomes = ["completed"] * completed + ["insufficient_funds"] * refused + ["reversed"] * given_back
    assert list(judge_crowd(Paid(account="crowd0", outcomes=outcomes, spent=Decimal(spent)))) == found


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_ten_thousand_transfers(show: Figures) -> None:
    """All invariants hold at the end, and those that no later moment makes good whenever they are looked at on the way."""
    total = int(os.environ.get("CAUSEWAY_CHAOS_TRANSFERS") or _FULL)
    async with _wallets() as (wallets, relay):
        run = _Run(wallets=wallets, relay=relay, seed=_seed(), total=total, kills_max=None, pace=1.0)
        assert judge(await run.carry_out(show)) == []


@asynccontextmanager
async def _wallets() -> AsyncIterator[tuple[Wallets, TcpRelay]]:
    """Run a stack with two workers; gives its wallets, still to be prepared, and a relay to one of them."""
    async with wallet_names() as names:
        settings = {"CAUSEWAY_GATEWAY_WORKERS": "2", **_REVIEW_AFTER, **names.environment()}
        async with running_stack(movable_clock=False, **settings) as stack:
            port = int(stack.info()["services"][HOLDING.service]["url"].rpartition(":")[2])
            async with tcp_relay(port) as relay, tcp_relay(port, tls=names.tls) as front:
                yield Wallets(stack=stack, names=names, front=front), relay


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run; ``kills_max`` None: as many as there is time for. ``pace``: see ``Hands``."""

    wallets: Wallets
    relay: TcpRelay
    seed: int
    total: int
    kills_max: int | None
    pace: float
    load: MoneyLoad = field(init=False)
    backup: Backup = field(init=False)
    hands: Hands = field(init=False)
    clerk: Clerk = field(init=False)
    looks: int = 0
    seen_wrong: list[str] = field(default_factory=list)

    @property
    def stack(self) -> StackProcess:
        """Return the stack that runs."""
        return self.wallets.stack

    async def carry_out(self, show: Figures) -> Books:
        """Make every transfer while everything goes wrong; then let all end, decide what is open, and compare."""
        await self.wallets.prepare(Random(self.seed), settings=_SETTINGS)
        load = self.load = MoneyLoad(wallets=self.wallets, random=Random(self.seed), total=self.total)
        self.backup = Backup(wallets=self.wallets, load=load)
        self.clerk = Clerk(wallets=self.wallets)
        killed: Counter[str] = Counter()
        began_at = time.monotonic()
        self.hands = Hands(
            wallets=self.wallets, seed=self.seed, relay=self.relay, name_is_lost=load.name_is_lost, pace=self.pace
        )
        await self._load(killed)
        loaded_seconds = time.monotonic() - began_at
        await self.wallets.disarm()
        await self.hands.put_right()
        reviewed = await decide_until_nothing_is_open(self.clerk, until_ended=self._until_ended)
        books = await self.read()
        made = {each.order for each in books.effects}
        planted = {order: system for order, system in self.hands.planted.items() if order in made}
        wrong = await self.clerk.check_reconciliations(planted=planted, forgotten=self.backup.forgotten)
        struck = await count_struck(self.stack)
        show(
            seed=self.seed,
            transfers=load.count,
            **books.statuses(),
            decided_by_hand=reviewed,
            given_back_by_hand=len(self.clerk.by_hand),
            forgotten_by_a_restored_wallet=len(self.backup.forgotten),
            answered_otherwise=dict(load.told),
            killed=dict(killed),
            hands=dict(sorted(self.hands.done.items())),
            planted=len(planted),
            **struck,
            load_seconds=round(loaded_seconds, 1),
            seconds=round(time.monotonic() - began_at, 1),
            looked_on_the_way=self.looks,
        )
        assert wrong == []
        assert {transfer.id for transfer in books.transfers} == set(load.ids.values())
        assert len(load.ids) == load.count
        assert planted
        assert all(struck.values()), struck
        return books

    async def read(self) -> Books:
        """Read the books, with what is known of them beside."""
        books = await read_books(self.stack, forgotten=self.backup.forgotten, by_hand=self.clerk.by_hand)
        # After the reading: it is noted before it is made, so whatever was read is among them.
        books.planted = frozenset(self.hands.planted)
        books.crowds = self.load.crowd_of_transfers()
        return books

    async def _load(self, killed: Counter[str]) -> None:
        """Run the load with everything that disturbs it; whatever of that fails ends the run."""
        async with asyncio.TaskGroup() as group:
            disturbing = [
                group.create_task(self._kill_again_and_again(Random(self.seed), killed)),
                group.create_task(self.hands.move()),
                group.create_task(self._look_again_and_again()),
            ]
            restoring = group.create_task(self.backup.restore())
            await self.load.run()
            await self.hands.name_is_back.wait()
            await restoring
            for task in disturbing:
                task.cancel()
        assert self.seen_wrong == []

    async def _kill_again_and_again(self, random: Random, killed: Counter[str]) -> None:
        """End or pause a random part every few seconds, and wait until it is back."""
        while self.kills_max is None or killed.total() < self.kills_max:
            await asyncio.sleep(random.uniform(1.0, 8.0) * self.pace)
            name = random.choice(_KILLED)
            killed[name] += 1
            if name == "FLUSHALL":
                client: Redis = Redis.from_url(self.stack.info()["queue"]["url"])
                try:
                    await client.flushall()
                except (RedisError, OSError):
                    killed[name] -= 1
                await client.aclose()
            elif name.startswith(_PAUSE):
                await _pause(self.stack.pid(name.removeprefix(_PAUSE)))
            else:
                await self.stack.until_replaced(name, pid=self.stack.kill(name), seconds=60)

    async def _look_again_and_again(self) -> None:
        """Judge the books every second; a database that is down has none to show."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                books = await self.read()
            except DATABASE_IS_AWAY:
                continue
            self.looks += 1
            self.seen_wrong += judge_on_the_way(books)

    async def _until_ended(self) -> None:
        """Wait until no transfer is pending and every event has left; engines may still be coming back."""
        left = self.load.count
        try:
            async with asyncio.timeout(_END_SECONDS):
                while left:
                    await asyncio.sleep(0.5)
                    left = await until_read(self._count_left)
        except TimeoutError:
            open_steps = await until_read(self._read_open_steps)
            raise TimeoutError(
                f"{left} transfers or events are still pending:\n{open_steps}\n{self.stack.log()[-4000:]}"
            ) from None

    async def _read_open_steps(self) -> str:
        connection = await asyncpg.connect(self.stack.info()["databases"]["wallet-gateway"], timeout=5)
        try:
            rows = await connection.fetch(
                "SELECT t.id, t.shape, t.due_at, t.due_at - now() AS in, t.worker_id, s.kind, s.mode, s.begun_at, s.endpoint,"
                " (SELECT string_agg(concat_ws(' ', a.call, a.outcome, a.code), ', ' ORDER BY number)"
                " FROM step_attempts a WHERE a.transfer_id = t.id AND a.step = s.number) AS calls FROM transfers t"
                " LEFT JOIN transfer_steps s ON s.transfer_id = t.id AND s.outcome IS NULL WHERE t.status = 'pending'"
            )
            waiting = await connection.fetchval("SELECT count(*) FROM outbox")
        finally:
            await connection.close()
        return "\n".join([f"{waiting} events wait", *(str(dict(row)) for row in rows)])

    async def _count_left(self) -> int:
        connection = await asyncpg.connect(self.stack.info()["databases"]["wallet-gateway"], timeout=5)
        try:
            count: int = await connection.fetchval(
                "SELECT (SELECT count(*) FROM transfers WHERE status = 'pending') + (SELECT count(*) FROM outbox)"
            )
        finally:
            await connection.close()
        return count


async def _pause(pid: int) -> None:
    """Let a process stand still, and then go on with what it had in hand."""
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)
