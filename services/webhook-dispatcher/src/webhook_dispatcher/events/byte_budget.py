"""How many bytes of published bodies a process works on at once: a limit on memory, not on requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteBudget:
    """Gives out bytes in the order they are asked for; who asks for more than is left waits until it is given back."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._used = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def reserve(self, wanted: int) -> AsyncIterator[None]:
        """Hold ``wanted`` bytes while the block runs; more than the whole budget counts as the whole.

        Raises TimeoutError only where the caller puts a time limit around it.
        """
        wanted = min(wanted, self.bytes_max)
        async with self._changed:
            await self._changed.wait_for(lambda: self._used + wanted <= self.bytes_max)
            self._used += wanted
        try:
            yield
        finally:
            async with self._changed:
                self._used -= wanted
                self._changed.notify_all()
