"""Keeps processes running: starts them, starts them again when they die, and stops them in order."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from embedded.child_process import StopStep
from embedded.engine import EngineError
from embedded.errors import ProcessEndedError

POLL_SECONDS = 0.05
RESTART_DELAY_SECONDS_MIN = 0.2
RESTART_DELAY_SECONDS_MAX = 5.0
STEADY_AFTER_SECONDS = 10.0
READY_WITHIN_SECONDS = 30.0


class StopOrder(IntEnum):
    """Who is stopped when; engines outlive everybody who uses them."""

    SERVICES_FIRST = 1
    ENGINES_LAST = 2


class Child(Protocol):
    """What the supervisor needs of a process; `ChildProcess` and its subclasses have it."""

    @property
    def stop_steps(self) -> Sequence[StopStep]: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def is_running(self) -> bool: ...
    def spawn(self) -> None: ...
    def is_ready(self) -> bool: ...
    def exit_code(self) -> int | None: ...
    def send_signal(self, wanted: signal.Signals) -> None: ...
    def kill(self) -> None: ...


@dataclass
class _Entry:
    name: str
    child: Child
    stop_order: StopOrder
    deaths_in_a_row: int = 0
    started_at: float = 0.0
    watcher: asyncio.Task[None] | None = None


def restart_delay_seconds(deaths_in_a_row: int) -> float:
    """Quick after the first death, doubling while a process keeps dying."""
    return min(RESTART_DELAY_SECONDS_MIN * 2.0 ** (deaths_in_a_row - 1), RESTART_DELAY_SECONDS_MAX)


class Supervisor:
    """`start()` each process, then `stop()` once. `on_change` is called whenever a process id changes."""

    def __init__(self, *, report: Callable[[str], None], on_change: Callable[[], None]) -> None:
        self._report = report
        self._on_change = on_change
        self._entries: dict[str, _Entry] = {}
        self._in_a_hurry = False

    def pids(self) -> dict[str, int]:
        return {name: entry.child.pid for name, entry in self._entries.items() if entry.child.pid is not None}

    def deaths(self, name: str) -> int:
        """Count how often the process has died since it last ran steadily."""
        return self._entries[name].deaths_in_a_row

    async def start(self, name: str, child: Child, *, stop_order: StopOrder) -> None:
        """Start a process and return when it is ready; from then on it is kept running.

        Raises EngineError or ProcessEndedError when this first start fails.
        """
        entry = _Entry(name, child, stop_order)
        self._entries[name] = entry
        await self._bring_up(entry)
        entry.watcher = asyncio.create_task(self._keep_running(entry), name=f"keep {name} running")

    async def stop(self) -> None:
        """Stop everything, services before engines; returns when no process is left."""
        watchers = [entry.watcher for entry in self._entries.values() if entry.watcher]
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        for order in StopOrder:
            await asyncio.gather(*(self._end(entry) for entry in self._entries.values() if entry.stop_order is order))

    def hurry(self) -> None:
        """Make a running `stop()` end every process at once."""
        self._in_a_hurry = True

    async def _keep_running(self, entry: _Entry) -> None:
        while True:
            while entry.child.is_running:  # noqa: ASYNC110 (a process's end sets no event here; waitpid is asked)
                await asyncio.sleep(POLL_SECONDS)
            if time.monotonic() - entry.started_at >= STEADY_AFTER_SECONDS:
                entry.deaths_in_a_row = 0
            entry.deaths_in_a_row += 1
            delay_seconds = restart_delay_seconds(entry.deaths_in_a_row)
            how = describe_exit(entry.child.exit_code())
            self._report(f"{entry.name} {how}; starting it again in {delay_seconds:.1f} s")
            await asyncio.sleep(delay_seconds)
            try:
                await self._bring_up(entry)
            except (EngineError, ProcessEndedError, OSError) as error:
                self._report(f"{entry.name} did not start: {error}")
                entry.child.kill()
            else:
                self._report(f"{entry.name} runs again (pid {entry.child.pid})")

    async def _bring_up(self, entry: _Entry) -> None:
        entry.started_at = time.monotonic()
        entry.child.spawn()
        self._on_change()
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        pid = entry.child.pid
        while not entry.child.is_ready():
            if time.monotonic() > deadline:
                raise ProcessEndedError(f"{entry.name} was not ready within {READY_WITHIN_SECONDS:.0f} s")
            await asyncio.sleep(POLL_SECONDS)
        # An engine that recovers from a crash may have needed more than one process for it.
        if entry.child.pid != pid:
            self._on_change()

    async def _end(self, entry: _Entry) -> None:
        for step in entry.child.stop_steps:
            if not entry.child.is_running or self._in_a_hurry:
                break
            entry.child.send_signal(step.signal)
            await self._ended(entry.child, within_seconds=step.wait_seconds)
        if entry.child.is_running and not self._in_a_hurry:
            self._report(f"{entry.name} did not end in time: killed")
        entry.child.kill()

    async def _ended(self, child: Child, *, within_seconds: float) -> None:
        deadline = time.monotonic() + within_seconds
        while child.is_running and time.monotonic() < deadline and not self._in_a_hurry:  # noqa: ASYNC110 (as above)
            await asyncio.sleep(POLL_SECONDS)


def describe_exit(code: int | None) -> str:
    """Say how a process ended, as a person would."""
    if code is not None and code < 0:
        return f"was ended by {_signal_name(-code)}"
    return f"ended with exit code {code}"


def _signal_name(number: int) -> str:
    names: Iterable[signal.Signals] = signal.Signals
    return next((name.name for name in names if name.value == number), f"signal {number}")
