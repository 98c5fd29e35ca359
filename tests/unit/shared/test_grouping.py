"""What several callers want at the same moment shares a statement, and nothing else."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.grouping import Groups

Bodies = Sequence[Sequence[int]]

STATEMENTS_AT_ONCE = 2
GROUP_EVENTS_MAX = 200


class Statements:
    """Stands for the database: notes the groups it was given, and answers when it is let go."""

    def __init__(self) -> None:
        self.groups: list[Bodies] = []
        self.free = asyncio.Event()
        self.refused: set[int] = set()
        self.away = False

    async def run(self, bodies: Bodies) -> Sequence[int | Exception]:
        self.groups.append(bodies)
        await self.free.wait()
        if self.away:
            raise ConnectionResetError
        if any(item in self.refused for body in bodies for item in body):
            raise ValueError("refused")
        return [sum(body) if min(body) >= 0 else LookupError(body[0]) for body in bodies]


def _groups(statements: Statements) -> Groups[int, int]:
    return Groups(statements.run, at_once=STATEMENTS_AT_ONCE, items_max=GROUP_EVENTS_MAX)


async def _start(groups: Groups[int, int], *bodies: Sequence[int]) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(groups.join(body)) for body in bodies]
    await asyncio.sleep(0)  # each has put itself in line
    return tasks


async def _occupy(groups: Groups[int, int]) -> list[asyncio.Task[int]]:
    """Have every statement that may run run."""
    tasks = []
    for _ in range(STATEMENTS_AT_ONCE):
        tasks += await _start(groups, [0])
        await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize("at_once", [1, 2])
async def test_a_single_one_goes_at_once(at_once: int) -> None:
    """Nobody waits for company that may not come; who asks again as soon as it is answered finds the statement ended."""
    statements = Statements()
    statements.free.set()
    groups = Groups(statements.run, at_once=at_once, items_max=GROUP_EVENTS_MAX)
    async with asyncio.timeout(5):
        for number in range(5):
            assert await groups.join([number]) == number
    assert statements.groups == [[[number]] for number in range(5)]


async def test_what_comes_while_statements_run_goes_together() -> None:
    """Each caller gets its own result or its own exception."""
    statements = Statements()
    groups = _groups(statements)
    busy = await _occupy(groups)
    waiting = await _start(groups, [1, 2], [-1], [4])
    statements.free.set()
    results = await asyncio.gather(*busy, *waiting, return_exceptions=True)
    assert [repr(result) for result in results[STATEMENTS_AT_ONCE:]] == ["3", "LookupError(-1)", "4"]
    assert statements.groups[STATEMENTS_AT_ONCE:] == [[[1, 2], [-1], [4]]]


async def test_what_one_brings_about_is_its_own() -> None:
    """A body that the database refuses makes the others neither fail nor wait for ever."""
    statements = Statements()
    statements.refused = {2}
    groups = _groups(statements)
    busy = await _occupy(groups)
    waiting = await _start(groups, [1], [2], [3])
    statements.free.set()
    results = await asyncio.gather(*busy, *waiting, return_exceptions=True)
    assert [repr(result) for result in results[STATEMENTS_AT_ONCE:]] == ["1", "ValueError('refused')", "3"]


async def test_who_gets_no_result_is_told_and_the_next_one_is_answered() -> None:
    """A fault of ours leaves nobody waiting."""

    async def run(bodies: Bodies) -> Sequence[int]:
        return [] if bodies == [[1]] else [sum(body) for body in bodies]

    groups = Groups(run, at_once=1, items_max=GROUP_EVENTS_MAX)
    async with asyncio.timeout(5):
        with pytest.raises(ValueError, match="shorter"):
            await groups.join([1])
        assert await groups.join([2]) == 2


async def test_while_the_database_is_away_all_are_told_at_once() -> None:
    """Trying each by itself would only make everybody wait longer."""
    statements = Statements()
    statements.away = True
    groups = _groups(statements)
    busy = await _occupy(groups)
    waiting = await _start(groups, [1], [2], [3])
    statements.free.set()
    results = await asyncio.gather(*busy, *waiting, return_exceptions=True)
    assert all(isinstance(result, ConnectionResetError) for result in results)
    assert len(statements.groups) == STATEMENTS_AT_ONCE + 1


async def test_a_group_is_bounded() -> None:
    """More than fits goes with the next statement, in the order in which it came."""
    statements = Statements()
    groups = _groups(statements)
    busy = await _occupy(groups)
    waiting = await _start(groups, *([number] for number in range(GROUP_EVENTS_MAX + 5)))
    statements.free.set()
    await asyncio.gather(*busy, *waiting)
    sizes = [len(group) for group in statements.groups[STATEMENTS_AT_ONCE:]]
    assert sizes == [GROUP_EVENTS_MAX, 5]


async def test_who_went_away_before_its_turn_is_left_out() -> None:
    """Its request was cancelled: nothing of it is done."""
    statements = Statements()
    groups = _groups(statements)
    busy = await _occupy(groups)
    gone, stays = await _start(groups, [1], [2])
    gone.cancel()
    statements.free.set()
    assert await stays == 2
    await asyncio.gather(*busy)
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert statements.groups[STATEMENTS_AT_ONCE:] == [[[2]]]


async def test_those_after_a_group_collect_for_a_moment() -> None:
    """Where many come, the next group begins a little later, with all that have come by then; who comes alone never waits."""
    statements = Statements()
    groups = Groups(statements.run, at_once=1, items_max=GROUP_EVENTS_MAX, gather_seconds=0.01)
    first = await _start(groups, [1])
    second = await _start(groups, [2])
    statements.free.set()
    await asyncio.gather(*first)
    third = await _start(groups, [3])
    assert await asyncio.gather(*second, *third) == [2, 3]
    assert statements.groups == [[[1]], [[2], [3]]]


async def test_the_end_waits_for_what_was_asked_for() -> None:
    """Also for what had not begun."""
    statements = Statements()
    groups = Groups(statements.run, at_once=1, items_max=1)
    tasks = await _start(groups, [1], [2])
    statements.free.set()
    await groups.aclose()
    assert statements.groups == [[[1]], [[2]]]
    assert await asyncio.gather(*tasks) == [1, 2]
