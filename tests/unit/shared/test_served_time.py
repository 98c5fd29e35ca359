"""The clock by which promised times are judged."""

import asyncio
import time

from support.served_time import served_clock


async def test_the_clock_goes_while_the_loop_waits() -> None:
    """Waiting is what is judged, so it counts, and never more than it was."""
    began = time.monotonic()
    async with served_clock() as clock:
        while clock.now() < 0.3:  # noqa: ASYNC110 - a clock signals nobody
            await asyncio.sleep(0.005)
        assert time.monotonic() - began >= 0.3


async def test_the_clock_stands_still_while_the_process_is_not_served() -> None:
    """A second in which nothing of the loop ran, as when others have the processor, counts next to nothing."""
    async with served_clock() as clock:
        await asyncio.sleep(0)
        before = clock.now()
        time.sleep(1)  # noqa: ASYNC251 - the loop is held up on purpose
        await asyncio.sleep(0.02)
        assert clock.now() - before < 0.5
