"""What an API process does beside answering: a part that fails in a way nobody foresaw is begun anew, and readiness tells."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

RESTART_SECONDS = 1.0
_TELLS_FOR_SECONDS = 10.0

Run = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger()


class BackgroundFailedError(Exception):
    """A part failed a moment ago and was begun anew, perhaps to fail again."""


class Background:
    """Runs parts that never end by themselves, by name."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed_at: dict[str, float] = {}

    @asynccontextmanager
    async def running(self, runs: Mapping[str, Run]) -> AsyncIterator[None]:
        """Run everything until the end, and then wait until each has stopped."""
        tasks = [asyncio.create_task(self._keep(name, run)) for name, run in runs.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def check(self) -> None:
        """Raise BackgroundFailedError while a part fails; for readiness."""
        now = self._clock()
        if any(now - failed_at < _TELLS_FOR_SECONDS for failed_at in self._failed_at.values()):
            raise BackgroundFailedError

    async def _keep(self, name: str, run: Run) -> None:
        while True:
            try:
                await run()
                log.error("background.ended", part=name)
            except Exception:
                log.exception("background.failed", part=name)
            self._failed_at[name] = self._clock()
            await asyncio.sleep(RESTART_SECONDS)
