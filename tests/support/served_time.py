"""Seconds as this process got them: what promises a time is not judged by how busy the machine is with other things."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_TICK_SECONDS = 0.01
# A loop that is served comes back this soon; what a tick took beyond it, the machine spent elsewhere.
_TICK_SECONDS_MAX = 0.05


class ServedClock:
    """Goes on while the event loop is served, and stands still while the process waits for a processor.

    For tests in which all that is timed runs in the test's own loop. Something of ours that blocked the loop would stop
    this clock, too: it judges waiting, not computing.
    """

    def __init__(self) -> None:
        self._served = 0.0
        self._ticked_at = time.monotonic()

    def now(self) -> float:
        """Return the seconds served since the clock began."""
        return self._served + min(time.monotonic() - self._ticked_at, _TICK_SECONDS_MAX)

    async def tick(self) -> None:
        """Go on for ever."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._served = self.now()
            self._ticked_at = time.monotonic()


@asynccontextmanager
async def served_clock() -> AsyncIterator[ServedClock]:
    """Give a clock that goes until the block ends."""
    clock = ServedClock()
    ticking = asyncio.create_task(clock.tick())
    try:
        yield clock
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
