"""One fetch at a time for each key, whoever asks; it goes on when those who asked have gone."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Flights(Generic[K, V]):
    """Fetches under way. Their number is bounded by what each fetch must pass: the wallets' gates."""

    def __init__(self) -> None:
        self._under_way: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, fetch: Callable[[], Awaitable[V]], *, join: bool) -> V:
        """Return what a fetch of the key brings; raises what it raises.

        With ``join`` a fetch that is under way will do. Without it, it must have begun after this call: one that is under way is
        waited for, and the next one serves all who waited.
        """
        present = self._under_way.get(key)
        if present is not None and not join:
            await asyncio.wait([present])
            present = self._under_way.get(key)
        if present is None:
            present = self._under_way[key] = asyncio.create_task(_awaited(fetch), name="balances")
            present.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(present)

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = [*self._under_way.values()]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: K, task: asyncio.Task[V]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled():
            # Looked at here, since those who asked may all have gone.
            task.exception()


async def _awaited(fetch: Callable[[], Awaitable[V]]) -> V:
    return await fetch()
