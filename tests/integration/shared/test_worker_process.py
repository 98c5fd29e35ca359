"""A worker process beats while it works, without Valkey too, and ends in order."""

import asyncio
import base64
import os
import signal
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_beats_and_stops_while_valkey_is_away(tmp_path: Path, number: signal.Signals) -> None:
    """The heartbeat needs neither engine, and the stop is in order: exit code 0."""
    heartbeat = tmp_path / "heartbeat"
    environment = os.environ | {
        "CAUSEWAY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "CAUSEWAY_QUEUE_URL": "redis://127.0.0.1:1",
        "CAUSEWAY_HEARTBEAT_FILE": str(heartbeat),
        "CAUSEWAY_SEALING_KEYS": f"k1:{base64.b64encode(bytes(32)).decode()}",
    }
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wallet_gateway.worker", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            while not heartbeat.exists():  # noqa: ASYNC110 - a file tells nobody that it is there
                await asyncio.sleep(0.05)
            worker.send_signal(number)
            _, written = await worker.communicate()
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
    assert worker.returncode == 0, written.decode()
    assert b"worker.stopped" in written
