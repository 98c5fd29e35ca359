"""The real stack, as ``make run`` starts it: own data folder, any free ports, no demo unless asked for."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

START_SECONDS = 120
STOP_SECONDS = 15
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class StackProcess:
    """One running ``python -m embedded``."""

    process: asyncio.subprocess.Process
    data_dir: Path
    log_path: Path
    clock_path: Path | None = None
    """Where it says by how many seconds the clock of its services is ahead; None unless its clock is movable."""

    @property
    def file_path(self) -> Path:
        return self.data_dir / "stack.json"

    def info(self) -> dict[str, Any]:
        """Read ``stack.json``."""
        document: dict[str, Any] = json.loads(self.file_path.read_text())
        return document

    def log(self) -> str:
        """Return all that it printed."""
        return self.log_path.read_text(errors="replace")

    def pid(self, name: str) -> int:
        """Return the process id of one part, as the file says now."""
        return int(self.info()["processes"][name]["pid"])

    def rss_mib(self, name: str) -> int:
        """Return the memory that one part holds now."""
        status = Path(f"/proc/{self.pid(name)}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) // 1024

    def kill(self, name: str) -> int:
        """End one part as a crash does; returns its process id."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    async def until(self, condition: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Wait for something that another process does; raises TimeoutError with the end of the log."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    if self.process.returncode is not None:
                        raise RuntimeError(f"the stack ended while waiting for {what}:\n{self.log()[-4000:]}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"not within {seconds} s: {what}\n{self.log()[-4000:]}") from None

    async def until_replaced(self, name: str, *, pid: int, seconds: float = 30.0) -> None:
        """Wait until a part that was killed runs again."""
        await self.until(lambda: self.pid(name) != pid, seconds=seconds, what=f"{name} runs again")

    async def stop(self) -> int:
        """Ask it to end; returns the exit code, or raises TimeoutError when it takes too long."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()

    def client(self, service: str, key: str | None = None, **headers: str) -> httpx2.AsyncClient:
        """Return a client of one service's API, with one of the file's keys or a key's own text."""
        info = self.info()
        text = info["keys"].get(key, key)
        credential = {"authorization": f"Bearer {text}"} if text else {}
        return httpx2.AsyncClient(
            base_url=info["services"][service]["url"], headers={**credential, **headers}, timeout=15, trust_env=False
        )


@asynccontextmanager
async def starting_stack(*, movable_clock: bool = False, **environment: str) -> AsyncIterator[StackProcess]:
    """Start a stack and give it at once; end it, and remove its data, when the block ends."""
    folder = _new_folder()
    log_path = folder / "stack.log"
    settings = {"CAUSEWAY_PORT_BASE": "0", "CAUSEWAY_DATA_DIR": str(folder / "data"), "CAUSEWAY_DEMO": "0"}
    clock_path = folder / "clock" if movable_clock else None
    settings |= movable_clock_environment(clock_path)
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "embedded"),
            env={**os.environ, **settings, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    stack = StackProcess(process=process, data_dir=folder / "data", log_path=log_path, clock_path=clock_path)
    try:
        yield stack
    finally:
        if process.returncode is None:
            try:
                await stack.stop()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def running_stack(*, movable_clock: bool = False, **environment: str) -> AsyncIterator[StackProcess]:
    """Start a stack and give it when it is ready."""
    async with starting_stack(movable_clock=movable_clock, **environment) as stack:
        await stack.until(stack.file_path.exists, seconds=START_SECONDS, what="stack.json")
        yield stack


def movable_clock_environment(path: Path | None) -> dict[str, str]:
    """Return what makes a process of ours follow the clock of a file, see ``jumping_clock/sitecustomize.py``."""
    if path is None:
        return {}
    if not path.exists():
        path.write_text("0")
    return {"CHAOS_CLOCK_FILE": str(path), "PYTHONPATH": str(Path(__file__).with_name("jumping_clock"))}


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="causeway-stack-"))
    folder.chmod(0o755)  # the user that PostgreSQL runs as passes through it
    return folder
