"""What is remembered of balances, and that one fetch serves all who ask at once."""

import asyncio
import contextlib
import gc
import weakref
from datetime import UTC, datetime
from decimal import Decimal
from typing import NoReturn

import pytest

from shared import typeids
from shared.ewp.messages import WalletBalance
from wallet_gateway.balances.balance import BalanceKey, Snapshot
from wallet_gateway.balances.cache import BalanceCache
from wallet_gateway.balances.flights import Flights


def _key(owner_ref: str = "a") -> BalanceKey:
    return BalanceKey(wallet_id=typeids.NO_ID, base_url="https://w.example.com", owner_ref=owner_ref, currency=None)


class _Page:
    """What a fetch has in hand."""


async def _unwanted() -> NoReturn:
    raise AssertionError("a fetch is under way")


def _snapshot(rows: int) -> Snapshot:
    now = datetime.now(UTC)
    balance = WalletBalance(
        wallet_id="w",
        owner_ref="a",
        currency="USD",
        scale=2,
        ledger=Decimal(1),
        available=Decimal(1),
        held=Decimal(0),
        as_of=now,
        version=0,
    )
    return Snapshot(balances=[balance] * rows, complete=True, fetched_at=now, fetched_at_seconds=0.0)


def test_memory_is_bounded_by_rows_and_the_longest_unused_go_first() -> None:
    """An empty snapshot counts as one row, and a new one takes the place of the one before."""
    cache = BalanceCache(rows_max=10)
    for name in ("a", "b", "c"):
        cache.put(_key(name), _snapshot(3))
    cache.get(_key("a"))
    cache.put(_key("d"), _snapshot(2))
    assert [name for name in "abcd" if cache.get(_key(name))] == ["a", "c", "d"]
    for _ in range(20):
        cache.put(_key("d"), _snapshot(4))
    assert [name for name in "acd" if cache.get(_key(name))] == ["a", "c", "d"]
    for number in range(100):
        cache.put(_key(str(number)), _snapshot(0))
    assert len(cache) == 10
    cache.put(_key("huge"), _snapshot(11))
    assert len(cache) == 0


async def test_one_fetch_serves_all_who_ask_at_once() -> None:
    """Of one key; other keys fetch for themselves, and a later call fetches anew."""
    flights: Flights[str, int] = Flights()
    started, release = [0], asyncio.Event()

    async def fetch() -> int:
        started[0] += 1
        await release.wait()
        return started[0]

    calls = [asyncio.create_task(flights.run("a", fetch, join=True)) for _ in range(5)]
    calls.append(asyncio.create_task(flights.run("b", fetch, join=True)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    release.set()
    assert await asyncio.gather(*calls) == [2] * 6
    assert started == [2]
    await flights.run("a", fetch, join=True)
    assert started == [3]


async def test_who_wants_it_live_is_never_served_by_a_fetch_that_began_before() -> None:
    """It waits for that one, and shares the next, as the newest asked for it, with whoever came meanwhile; and so on."""
    flights: Flights[str, tuple[int, str]] = Flights()
    started, begun, releases = [0], asyncio.Event(), [asyncio.Event() for _ in range(3)]

    def run(who: str) -> asyncio.Task[tuple[int, str]]:
        async def fetch() -> tuple[int, str]:
            number = started[0]
            started[0] += 1
            if number == 1:
                begun.set()
            await releases[number].wait()
            return number, who

        return asyncio.create_task(flights.run("a", fetch, join=False))

    first = run("first")
    await asyncio.sleep(0)
    later = [run(who) for who in ("second", "third", "newest")]
    await asyncio.sleep(0)
    joined = asyncio.create_task(flights.run("a", _unwanted, join=True))
    await asyncio.sleep(0)
    releases[0].set()
    assert await first == await joined == (0, "first")
    await begun.wait()
    last = run("last")
    for _ in range(3):
        await asyncio.sleep(0)
    assert started == [2]
    releases[1].set()
    releases[2].set()
    assert await asyncio.gather(*later) == [(1, "newest")] * 3
    assert await last == (2, "last")


async def test_nothing_is_fetched_twice_at_once_in_the_moment_between_two_fetches() -> None:
    """Who asks when one has ended and the next has not begun shares the next, whatever will do."""
    flights: Flights[str, int] = Flights()
    under_way, most, started = [0], [0], [0]

    async def fetch() -> int:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        started[0] += 1
        for _ in range(3):
            await asyncio.sleep(0)
        under_way[0] -= 1
        return started[0]

    calls = []
    for number in range(60):
        calls.append(asyncio.create_task(flights.run("a", fetch, join=number % 3 == 0)))
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert most == [1]
    assert 5 < started[0] < 60
    assert not flights.is_used


async def test_of_fetches_that_failed_one_after_the_other_nothing_is_kept() -> None:
    """A wallet that refuses each of many callers, of whom somebody always waits, costs no memory."""
    flights: Flights[str, int] = Flights()
    kept: list[weakref.ref[_Page]] = []

    async def fail() -> int:
        page = _Page()
        kept.append(weakref.ref(page))
        for _ in range(3):
            await asyncio.sleep(0)
        raise ConnectionError

    async def ask() -> None:
        with contextlib.suppress(ConnectionError):
            await flights.run("a", fail, join=False)

    waiting = asyncio.create_task(ask())
    for _ in range(20):
        await asyncio.sleep(0)
        following = asyncio.create_task(ask())
        await waiting
        waiting = following
    gc.collect()
    assert len(kept) >= 20
    assert flights.is_used
    assert sum(page() is not None for page in kept) <= 2
    await waiting


async def test_closing_ends_what_is_under_way_and_what_is_to_come() -> None:
    """Who waits is let go, and nothing is fetched any more."""
    flights: Flights[str, int] = Flights()
    started = [0]

    async def fetch() -> int:
        started[0] += 1
        await asyncio.Event().wait()
        return started[0]

    calls = []
    for _ in range(2):
        calls.append(asyncio.create_task(flights.run("a", fetch, join=False)))
        await asyncio.sleep(0)
    await flights.aclose()
    assert [type(each) for each in await asyncio.gather(*calls, return_exceptions=True)] == [asyncio.CancelledError] * 2
    assert started == [1]
    assert not flights.is_used


async def test_a_fetch_goes_on_without_those_who_asked_and_its_failure_is_theirs_alone() -> None:
    """One who leaves takes it from nobody; a failure that nobody waits for is no noise, and the next call tries again."""
    flights: Flights[str, int] = Flights()
    release = asyncio.Event()

    async def fetch() -> int:
        await release.wait()
        return 7

    leaving = asyncio.create_task(flights.run("a", fetch, join=True))
    staying = asyncio.create_task(flights.run("a", fetch, join=True))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    release.set()
    assert await staying == 7

    async def fail() -> int:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await flights.run("a", fail, join=True)
    assert await flights.run("a", fetch, join=True) == 7
    await flights.aclose()
