"""What several callers want at the same time is done by one statement: what one costs is shared by all of them.

A statement takes about as long for one as for twenty. While one runs, those that arrive wait for the next; under no load each
goes at once by itself. Nothing else changes for a caller: what it wants is done together or not at all, the answer comes after
the commit, and a fault that it brings about is its alone. Used by the dispatcher for publications, by the wallet-gateway for
transfers that begin, and by the reference wallet.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shared.database import is_unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    items: Sequence[Item]
    answer: asyncio.Future[Result] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Groups(Generic[Item, Result]):
    """Joins what several callers want done at the same time.

    ``run`` takes what each of some callers gave, does all of it or nothing, and returns a result or an exception for each. No
    more than ``at_once`` run at a time: with two, a statement that waits for a lock holds up no more than itself. A group has at
    most ``items_max`` items, or one caller's. After a group while others came, the next one collects for ``gather_seconds``.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Sequence[Item]]], Awaitable[Sequence[Result | Exception]]],
        *,
        at_once: int,
        items_max: int,
        gather_seconds: float = 0.0,
    ) -> None:
        self._run = run
        self._at_once = at_once
        self._items_max = items_max
        self._gather_seconds = gather_seconds
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def join(self, items: Sequence[Item]) -> Result:
        """Do ``items`` with whatever others want done now; raises what they alone bring about."""
        waiting = _Waiting[Item, Result](items)
        self._waiting.append(waiting)
        if len(self._running) < self._at_once:
            self._running.add(asyncio.create_task(self._work()))
        return await waiting.answer

    async def aclose(self) -> None:
        """Wait until what was asked for is done."""
        await asyncio.gather(*self._running)

    async def _work(self) -> None:
        try:
            while group := self._next_group():
                await self._do(group)
                if self._gather_seconds and self._waiting:
                    await asyncio.sleep(self._gather_seconds)
        finally:
            # In the same breath in which it saw that nobody waits: a callback of the task runs after the callers that it
            # answered, and one of them that asked again in between would find it running, and wait for ever.
            task = asyncio.current_task()
            assert task is not None
            self._running.discard(task)

    def _next_group(self) -> list[_Waiting[Item, Result]]:
        group: list[_Waiting[Item, Result]] = []
        size = 0
        while self._waiting and (not group or size + len(self._waiting[0].items) <= self._items_max):
            waiting = self._waiting.popleft()
            if not waiting.answer.done():  # whose caller went away before anything was done wants nothing any more
                group.append(waiting)
                size += len(waiting.items)
        return group

    async def _do(self, group: Sequence[_Waiting[Item, Result]]) -> None:
        try:
            results = await self._run([waiting.items for waiting in group])
            answers = list(zip(group, results, strict=True))
        except Exception as exc:  # noqa: BLE001 - it belongs to the callers, who wait for it
            if len(group) > 1 and not is_unavailable(exc):
                # One of them may be the reason: by themselves the others pass.
                for waiting in group:
                    await self._do([waiting])
                return
            answers = [(waiting, exc) for waiting in group]
        for waiting, result in answers:
            if waiting.answer.done():
                continue
            if isinstance(result, Exception):
                waiting.answer.set_exception(result)
            else:
                waiting.answer.set_result(result)
