"""Serves an application in a thread with an event loop of its own, for clients that block."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

_START_SECONDS = 60

Served = TypeVar("Served")


@contextmanager
def served_in_thread(serve: Callable[[], AbstractAsyncContextManager[Served]]) -> Iterator[Served]:
    """Enter ``serve()`` in another thread, give what it gives, and leave it at the end of the block."""
    ready = threading.Event()
    found: dict[str, Any] = {}

    async def run() -> None:
        stop = asyncio.Event()
        async with serve() as served:
            found.update(served=served, loop=asyncio.get_running_loop(), stop=stop)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(_START_SECONDS), "the service did not start"
    try:
        yield found["served"]
    finally:
        found["loop"].call_soon_threadsafe(found["stop"].set)
        thread.join()
