"""Work at hand is bounded in bytes, not in pieces alone."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from webhook_dispatcher.events.byte_budget import ByteBudget
from webhook_dispatcher.intake.stream import Entry, size_of, slices


def _entry(size: int) -> Entry:
    return (b"1-1", {b"event": b"x" * size})


@given(sizes=st.lists(st.integers(min_value=0, max_value=50)), bytes_max=st.integers(min_value=1, max_value=100))
def test_slices_keep_every_entry_in_order_and_within_the_limit(sizes: list[int], bytes_max: int) -> None:
    """Nothing is lost or reordered; a slice is over the limit only when it is one entry that is so by itself."""
    entries = [_entry(size) for size in sizes]
    cut = list(slices(entries, bytes_max=bytes_max))
    assert [entry for part in cut for entry in part] == entries
    for part in cut:
        assert len(part) == 1 or sum(size_of(entry) for entry in part) <= bytes_max


async def test_the_budget_lets_others_wait_until_bytes_are_given_back() -> None:
    """Two that do not fit together never run together, and the second runs as soon as the first has ended."""
    budget = ByteBudget(100)
    order: list[str] = []
    first_runs, first_may_end = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with budget.reserve(60):
            order.append("first in")
            first_runs.set()
            await first_may_end.wait()
            order.append("first out")

    async def second() -> None:
        await first_runs.wait()
        async with budget.reserve(50):
            order.append("second in")

    async def small() -> None:
        await first_runs.wait()
        async with budget.reserve(40):
            order.append("small in")
        first_may_end.set()

    await asyncio.gather(first(), second(), small())
    assert order == ["first in", "small in", "first out", "second in"]


async def test_more_than_the_whole_budget_counts_as_the_whole() -> None:
    """A single large body is served alone, not never."""
    budget = ByteBudget(10)
    async with asyncio.timeout(5), budget.reserve(1000):
        pass
    async with asyncio.timeout(5), budget.reserve(10):
        pass
