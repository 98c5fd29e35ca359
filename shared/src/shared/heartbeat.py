"""A file whose age tells whether the event loop still turns: a worker has no port that a health check could ask.

Used by every worker process that is given ``CAUSEWAY_HEARTBEAT_FILE``; ``deploy/healthcheck.py`` judges the age.
"""

import asyncio
from pathlib import Path

import structlog

log = structlog.get_logger()

INTERVAL_SECONDS = 2.0


async def beat(path: Path, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Touch ``path`` until cancelled. A touch that fails is logged and stops no work: the file's age shows it."""
    while True:
        _touch(path)
        await asyncio.sleep(interval_seconds)


def _touch(path: Path) -> None:
    try:
        path.touch()
    except OSError as exc:
        log.warning("worker.heartbeat_failed", path=str(path), reason=type(exc).__name__)
