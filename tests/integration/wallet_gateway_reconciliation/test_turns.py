"""Runs take turns: neither slow feeds nor many runs of one tenant hold up another's."""

import asyncio
from typing import Any

import pytest
from pydantic import TypeAdapter

from support.reconciliation_books import Books, books_of
from support.transfer_bench import OWNER, Bench
from wallet_gateway.external_wallets.schemas import TimeoutSeconds
from wallet_gateway.reconciliation import feed, reading, reconciler, runs_repository
from wallet_gateway.reconciliation.reconciler import Reconciler


class _Clock:
    """A monotonic clock that moves when a test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _reconciler(running: Bench, clock: _Clock) -> Reconciler:
    parts = running.service.resources
    return Reconciler(
        database=parts.database, wallets=parts.wallets, discovery=parts.discovery, interval_seconds=300, clock=clock
    )


async def test_a_slow_feed_goes_to_the_back_of_the_line(
    books: Books, running: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After half a minute no further page is begun; it goes on from there once the others had their turn."""
    monkeypatch.setattr(feed, "PAGE_ENTRIES", 2)
    slow, clock, asked = await books.bench.connect(), _Clock(), 0
    for number in range(6):
        await slow.system.caller.put(f"theirs-{number}", owner_ref=OWNER, op="credit", amount="1.00")
    working = _reconciler(running, clock)
    page = working._reader._page

    async def slow_page(*given: Any) -> Any:
        nonlocal asked
        clock.now += 16
        asked += 1
        return await page(*given)

    monkeypatch.setattr(working._reader, "_page", slow_page)
    first = await books.start(slow)
    other = await books_of(running)
    second = await other.start(await other.bench.connect())
    assert await working.work_once()
    run = await books.shown(first["id"])
    assert (asked, run["status"], run["waits_for"]) == (2, "running", None)
    assert await working.work_once()
    assert (await other.shown(second["id"]))["status"] == "clean"
    while await working.work_once():
        pass
    assert [found["step_id"] for found in (await books.shown(first["id"]))["breaks"]] == [
        f"theirs-{number}" for number in range(6)
    ]


async def test_a_turn_reads_a_page_however_long_the_wallet_took_before(
    books: Books, running: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a wallet that is slow to say what it can do would never be read."""
    partner, clock = await books.bench.connect(), _Clock()
    working = _reconciler(running, clock)
    capabilities = working._discovery.capabilities

    async def slow(stored: Any) -> Any:
        clock.now += 60
        return await capabilities(stored)

    monkeypatch.setattr(working._discovery, "capabilities", slow)
    begun = await books.start(partner)
    assert await working.work_once()
    assert (await books.shown(begun["id"]))["status"] == "clean"


async def test_one_tenant_has_at_most_half_of_the_slots(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of its wallets hang: its third run waits, and another tenant's does not."""
    for _ in range(3):
        await books.start(await books.bench.connect())
    go_on = asyncio.Event()
    hanging: set[Any] = set()
    page = books.reconciler._reader._page
    both = asyncio.Event()

    async def hangs(run: Any, *given: Any) -> Any:
        if not go_on.is_set():
            hanging.add(run.wallet_id)
            if len(hanging) == 2:
                both.set()
            async with asyncio.timeout(20):
                await go_on.wait()
        return await page(run, *given)

    monkeypatch.setattr(books.reconciler._reader, "_page", hangs)
    working = [asyncio.create_task(books.reconciler.work_once()) for _ in range(2)]
    async with asyncio.timeout(10):
        await both.wait()
    assert await books.reconciler.work_once() is False
    other = await books_of(books.bench)
    begun = await other.start(await other.bench.connect())
    monkeypatch.setattr(books.reconciler._reader, "_page", page)
    assert await books.reconciler.work_once() is True
    assert (await other.shown(begun["id"]))["status"] == "clean"
    go_on.set()
    assert await asyncio.gather(*working) == [True, True]
    assert await books.reconciler.work_once() is True


async def test_many_runs_of_one_tenant_are_not_before_one_of_another(books: Books) -> None:
    """Tenants take turns; of one tenant's runs the one that has waited longest comes first."""
    partner = await books.bench.connect()
    many = [await books.start(partner) for _ in range(3)]
    other = await books_of(books.bench)
    later = await other.start(await other.bench.connect())
    ended = []
    for _ in range(4):
        assert await books.reconciler.work_once()
        shown = [await books.shown(run["id"]) for run in many] + [await other.shown(later["id"])]
        ended.append([run["id"] for run in shown if run["status"] != "running"])
    first, second, third = (run["id"] for run in many)
    assert [sorted(ids) for ids in ended] == [
        sorted(ids)
        for ids in ([first], [first, later["id"]], [first, second, later["id"]], [first, second, third, later["id"]])
    ]


async def test_the_wallet_that_has_waited_longest_is_scheduled_first(books: Books) -> None:
    """Where more are due than one look begins."""
    rows, places = books.bench.service.rows, [await books.bench.connect() for _ in range(3)]
    await rows("UPDATE feed_positions SET next_run_at = now() + interval '1 day'")
    for hours, place in enumerate(places, start=1):
        await rows(
            "INSERT INTO feed_positions (wallet_id, seq, next_run_at)"
            " VALUES (:id, 1, now() - make_interval(hours => :hours))",
            id=place.id,
            hours=hours,
        )
    begun = []
    for _ in places:
        async with books.bench.service.resources.database.autocommit() as connection:
            assert await runs_repository.schedule(connection, limit=1) == 1
        (newest,) = await rows("SELECT wallet_id FROM reconciliations WHERE is_scheduled ORDER BY id DESC LIMIT 1")
        begun.append(newest.wallet_id)
    assert begun == [place.id for place in reversed(places)]
    await rows("DELETE FROM reconciliations WHERE status = 'running'")


def test_a_turn_ends_before_its_lease() -> None:
    """Also with a wallet that takes all its time to say what it can do, and then for a page."""
    longest: int = TypeAdapter(TimeoutSeconds).json_schema()["maximum"]
    beginning = 2 * longest  # for a place in its gate, and for its answer
    page = reading.WAIT_SECONDS_MAX + longest
    assert max(reconciler.TURN_SECONDS, beginning) + page <= reconciler.LEASE_SECONDS / 1.5
