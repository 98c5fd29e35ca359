"""The pace of a load: when each of its calls is due, whatever became of those before."""

import asyncio
import time
from collections.abc import AsyncIterator


async def paced(count: int, *, per_second: int) -> AsyncIterator[tuple[int, float]]:
    """Give each call's number when it is due, and when that was, by ``time.perf_counter``."""
    start = time.perf_counter() + 0.1
    for number in range(count):
        scheduled = start + number / per_second
        await asyncio.sleep(max(0.0, scheduled - time.perf_counter()))
        yield number, scheduled
