"""One fetch at a time for each key, whoever asks; it goes on when those who asked have gone."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Flights(Generic[K, V]):
    """Fetches under way, and of each key the one to come. Wallets' gates bound their number."""

    def __init__(self) -> None:
        self._under_way: dict[K, asyncio.Task[V]] = {}
        self._next: dict[K, asyncio.Task[V]] = {}
        self._next_fetches: dict[K, Callable[[], Awaitable[V]]] = {}

    async def run(self, key: K, fetch: Callable[[], Awaitable[V]], *, join: bool) -> V:
        """Return what a fetch of the key brings; raises what it raises.

        With ``join`` a fetch that is under way will do. Without it, it must have begun after this call: one that is under way is
        waited for, and the next one serves all who waited, by the newest caller's ``fetch``.
        """
        return await asyncio.shield(self._flight(key, fetch, join=join))

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = [*self._next.values(), *self._under_way.values()]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        self._next.clear()
        self._next_fetches.clear()

    @property
    def is_used(self) -> bool:
        """Tell whether a fetch is under way, or to come."""
        return bool(self._under_way or self._next or self._next_fetches)

    def _flight(self, key: K, fetch: Callable[[], Awaitable[V]], *, join: bool) -> asyncio.Task[V]:
        present = self._under_way.get(key)
        if present is not None and join:
            return present
        following = self._next.get(key)
        if following is None:
            if present is None:
                return self._depart(key, asyncio.create_task(_awaited(fetch), name="balances"))
            # One task waits for all: a thousand that woke at a silent wallet's time limit would hold up everybody else.
            following = self._next[key] = asyncio.create_task(self._after(key, present), name="balances")
        self._next_fetches[key] = fetch
        return following

    def _depart(self, key: K, task: asyncio.Task[V]) -> asyncio.Task[V]:
        self._under_way[key] = task
        task.add_done_callback(lambda done: self._landed(key, done))
        return task

    async def _after(self, key: K, present: asyncio.Task[V]) -> V:
        await asyncio.wait([present])
        # A fetch that fails keeps this frame in its traceback, and with the one before each would keep all before it.
        del present
        self._depart(key, self._next.pop(key))
        return await self._next_fetches.pop(key)()

    def _landed(self, key: K, task: asyncio.Task[V]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled():
            # Looked at here, since those who asked may all have gone.
            task.exception()


async def _awaited(fetch: Callable[[], Awaitable[V]]) -> V:
    return await fetch()
