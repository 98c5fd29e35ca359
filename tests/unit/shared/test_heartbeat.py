"""A worker's heartbeat file is as old as the event loop's last turn."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from structlog.testing import capture_logs

from shared.heartbeat import beat

OFTEN_SECONDS = 0.001


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a file tells nobody that it changed
        await asyncio.sleep(OFTEN_SECONDS)


async def test_the_file_is_touched_again_and_again(tmp_path: Path) -> None:
    """The first beat makes the file at once, and later ones make it young again."""
    path = tmp_path / "heartbeat"
    beating = asyncio.create_task(beat(path, interval_seconds=OFTEN_SECONDS))
    try:
        async with asyncio.timeout(5):
            for _ in range(2):
                await until(lambda: path.exists() and path.stat().st_mtime > 0)
                os.utime(path, (0, 0))
    finally:
        beating.cancel()


async def test_a_failing_touch_stops_no_work(tmp_path: Path) -> None:
    """Where the file cannot be written the worker says so and goes on, and beats as soon as it can be."""
    path = tmp_path / "missing" / "heartbeat"
    with capture_logs() as logged:
        beating = asyncio.create_task(beat(path, interval_seconds=OFTEN_SECONDS))
        try:
            async with asyncio.timeout(5):
                await until(lambda: bool(logged))
                path.parent.mkdir()
                await until(path.exists)
        finally:
            beating.cancel()
    assert logged[0]["event"] == "worker.heartbeat_failed"
    assert logged[0]["reason"] == "FileNotFoundError"
