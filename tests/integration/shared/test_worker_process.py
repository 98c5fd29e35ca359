"""A worker process beats while it works, without Valkey too, ends in order, and runs nobody else's code."""

import asyncio
import base64
import os
import pickle
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis


@asynccontextmanager
async def _worker(*, queue_url: str, heartbeat: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a worker that has no database; killed at the end if it still runs."""
    environment = os.environ | {
        "CAUSEWAY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "CAUSEWAY_QUEUE_URL": queue_url,
        "CAUSEWAY_HEARTBEAT_FILE": str(heartbeat),
        "CAUSEWAY_SEALING_KEYS": f"k1:{base64.b64encode(bytes(32)).decode()}",
    }
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wallet_gateway.worker", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield worker
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_beats_and_stops_while_valkey_is_away(tmp_path: Path, number: signal.Signals) -> None:
    """The heartbeat needs neither engine, and the stop is in order: exit code 0."""
    heartbeat = tmp_path / "heartbeat"
    async with asyncio.timeout(30), _worker(queue_url="redis://127.0.0.1:1", heartbeat=heartbeat) as worker:
        while not heartbeat.exists():  # noqa: ASYNC110 - a file tells nobody that it is there
            await asyncio.sleep(0.05)
        worker.send_signal(number)
        _, written = await worker.communicate()
    assert worker.returncode == 0, written.decode()
    assert b"worker.stopped" in written


class _Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self._mark,)


async def test_a_job_that_somebody_wrote_to_valkey_runs_no_code_of_theirs(tmp_path: Path, queue_url: str) -> None:
    """Publishers have Valkey's password too: a pickle among the jobs is a malformed job, and nothing unpickles it."""
    mark, jobs = tmp_path / "mark", "causeway:jobs:wallet-gateway"
    now_ms = int(time.time() * 1000)
    job = {"t": 1, "f": "anything", "a": (_Bomb(mark),), "k": {}, "et": now_ms}
    async with Redis.from_url(queue_url) as queue:
        await queue.set("arq:job:planted", pickle.dumps(job))
        await queue.zadd(jobs, {"planted": now_ms})
        async with asyncio.timeout(30), _worker(queue_url=queue_url, heartbeat=tmp_path / "heartbeat"):
            while await queue.zscore(jobs, "planted") is not None:  # noqa: ASYNC110 - nobody tells when a job has gone
                await asyncio.sleep(0.05)
    assert not mark.exists()
