"""So many at a time, and so many who wait for a place, for so long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from wallet_gateway.isolation.errors import NoRoom

WAITING_MAX: Final = 5_000
_AGAIN_SECONDS: Final = 1.0


class Places:
    """``held`` while something is under way."""

    def __init__(self, in_flight_max: int, *, waiting_max: int = WAITING_MAX) -> None:
        self._room = asyncio.Semaphore(in_flight_max)
        self._waiting_max = waiting_max
        self._waiting = 0
        self._in_flight = 0

    @property
    def is_used(self) -> bool:
        """Tell whether somebody is here, or waits."""
        return bool(self._waiting or self._in_flight)

    @asynccontextmanager
    async def held(self, *, until: float) -> AsyncIterator[None]:
        """Take a place, at once or by ``until`` (the event loop's time), and give it back at the end; raises NoRoom."""
        await self._enter(until)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._room.release()

    async def _enter(self, until: float) -> None:
        if not self._room.locked():
            await self._room.acquire()
        else:
            if self._waiting >= self._waiting_max:
                raise NoRoom(retry_after_seconds=_AGAIN_SECONDS)
            self._waiting += 1
            try:
                async with asyncio.timeout_at(until):
                    await self._room.acquire()
            except TimeoutError as exc:
                raise NoRoom(retry_after_seconds=_AGAIN_SECONDS) from exc
            finally:
                self._waiting -= 1
