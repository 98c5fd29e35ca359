"""What a newcomer sees: the demo reaches its last line, the printed commands work, and nothing is left behind."""

import asyncio
import json
import os
import re
import shutil
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # the package ships no types
import pytest

from support.engine import until
from support.figures import Figures
from support.stack import STOP_SECONDS, StackProcess, starting_stack

_DEMO_SECONDS = 150
_ROOT = Path(__file__).resolve().parents[2]
_LAST_LINE = re.compile(r"^Demo complete: (\d+) of \1 deliveries verified\. Ctrl-C stops the stack\.$", re.MULTILINE)


@pytest.fixture(scope="module")
async def demo() -> AsyncIterator[StackProcess]:
    """Return a stack whose demo has reached its last line."""
    async with starting_stack(CAUSEWAY_DEMO="1") as stack:
        await stack.until(
            lambda: bool(_LAST_LINE.search(stack.log())), seconds=_DEMO_SECONDS, what="the demo's last line"
        )
        yield stack


async def test_make_run_starts_the_stack() -> None:
    """`make run` is the stack in the foreground, with nothing between the terminal and it."""
    # Under `make test` the outer make would have this one say which folder it enters and leaves.
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    }
    make = await asyncio.create_subprocess_exec(
        "make", "-n", "run", cwd=_ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await make.communicate()
    assert output.decode().splitlines()[-1] == "exec .venv/bin/python -m embedded"


async def test_the_demo_shows_every_delivery(demo: StackProcess) -> None:
    """Each event of the demo file is shown as it arrives, with its signature verified."""
    published = (_ROOT / "deploy/embedded/demo_events.jsonl").read_text().splitlines()
    arrivals = re.findall(r"✓ (\S+) +(\S+) +signature and time verified", demo.log())
    expected = [(item["type"], item["subject"]) for item in map(json.loads, published)]
    assert sorted(arrivals[: len(expected)]) == sorted(expected)
    assert "✗" not in demo.log()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the printed commands are for curl, which is not installed")
async def test_the_printed_commands_work(demo: StackProcess) -> None:
    """Every curl line, pasted as it was printed, does what the line above it says."""
    commands = dict(re.findall(r"^  # (.+)\n  (curl .+)$", demo.log(), re.MULTILINE))
    assert len(commands) == 7
    answers = {title: await _paste(command) for title, command in commands.items()}

    assert len(answers["the latest deliveries"]["data"]) == 3
    [attempt] = answers["one of them, with every attempt"]["attempt_log"]
    assert attempt["outcome"] == "delivered"
    [event_id] = answers["publish an event over HTTP; it arrives at the receiver"]["ids"]
    assert answers["the ledger: every accepted event is accounted for"]["balanced"] is True

    async def arrived() -> bool:
        received = await _paste(commands["what the receiver got"])
        return any(item["webhook_id"] == event_id and item["verified"] for item in received["data"])

    await until(arrived, what="the published event at the receiver")
    keys = demo.info()["keys"].values()
    assert not any(key in demo.log() for key in keys), "a key is on the screen"


async def _paste(command: str) -> dict[str, Any]:
    shell = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
    output, _ = await shell.communicate()
    assert shell.returncode == 0, command
    document: dict[str, Any] = json.loads(output)
    return document


async def test_stack_json_is_what_is_promised(demo: StackProcess) -> None:
    """The file is readable by its owner alone, has the documented form, and follows a process that is started again."""
    assert stat.S_IMODE(demo.file_path.stat().st_mode) == 0o600
    info = demo.info()
    services = {"credentials", "webhook-dispatcher", "wallet-gateway"}
    assert info["ready"] is True
    assert services <= set(info["services"])
    assert {"reference-wallet", "home-wallet"} <= set(info["services"])
    assert set(info["databases"]) == {*services, "reference-wallet", "home-wallet"}
    assert info["queue"]["stream"] == "causeway:events"
    assert info["tenant_id"].startswith("ten_")
    prefixes = {name: key[:6] for name, key in info["keys"].items()}
    assert prefixes == {"platform": "cw_sv_", "owner": "cw_sk_", "publisher": "cw_sv_"}
    names = {f"{service}-{role}-1" for service in services for role in ("api", "worker")}
    assert names <= set(info["processes"])
    assert all(psutil.pid_exists(process["pid"]) for process in info["processes"].values())

    pid = demo.kill("webhook-dispatcher-worker-1")
    await demo.until_replaced("webhook-dispatcher-worker-1", pid=pid)
    assert psutil.pid_exists(demo.pid("webhook-dispatcher-worker-1"))
    assert stat.S_IMODE(demo.file_path.stat().st_mode) == 0o600


async def test_sigterm_stops_everything(demo: StackProcess, show: Figures) -> None:
    """SIGTERM ends the stack with exit code 0 in time; no process, no stack.json and no file with a key for curl is left."""
    processes = psutil.Process(demo.process.pid).children(recursive=True)
    assert len(processes) >= 9
    started = time.monotonic()
    assert await demo.stop() == 0
    seconds = time.monotonic() - started
    show(processes=len(processes), stopped_in_seconds=round(seconds, 1))
    assert seconds < STOP_SECONDS
    assert [process for process in processes if process.is_running()] == []
    assert not demo.file_path.exists()
    assert list(demo.data_dir.glob("*.curl")) == []
    assert "no process is left" in demo.log()
