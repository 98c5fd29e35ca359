"""The supervisor over small real processes: restart, order, output, and the line between stop and kill."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from embedded.errors import ProcessEndedError
from embedded.service_process import LINE_BYTES_MAX, ServiceProcess
from embedded.supervisor import StopOrder, Supervisor, restart_delay_seconds

_POLITE = """
import signal, sys, time
def leave(*_):
    print("leaving", time.monotonic(), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("up", flush=True)
while True:
    signal.pause()
"""
_STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()
"""


@dataclass
class Watched:
    """A supervisor with what it said and what its processes printed."""

    notices: list[str] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    changes: int = 0

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(report=self.notices.append, on_change=self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def process(self, name: str, code: str) -> ServiceProcess:
        command = [sys.executable, "-c", code]
        return ServiceProcess(name, command, environment=os.environ, on_line=lambda *line: self.lines.append(line))

    async def start(self, name: str, code: str, order: StopOrder = StopOrder.SERVICES_FIRST) -> ServiceProcess:
        process = self.process(name, code)
        await self.supervisor.start(name, process, stop_order=order)
        return process

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 (the condition is another process's doing)
                await asyncio.sleep(0.01)

    def printed_at(self, name: str) -> float:
        return next(float(line.split()[1]) for who, line in self.lines if who == name and line.startswith("leaving"))


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched()
    yield watched
    watched.supervisor.hurry()
    await watched.supervisor.stop()


async def test_a_killed_process_is_started_again_under_its_name(watched: Watched) -> None:
    """After kill -9 the same name has a new process, and whoever keeps the ids is told."""
    await watched.start("worker-1", _POLITE)
    first_pid, changes = watched.supervisor.pids()["worker-1"], watched.changes
    await watched.until(lambda: ("worker-1", "up") in watched.lines)
    os.kill(first_pid, 9)
    await watched.until(lambda: watched.supervisor.pids()["worker-1"] != first_pid)
    await watched.until(lambda: watched.lines.count(("worker-1", "up")) == 2)
    assert watched.changes > changes
    assert watched.notices[0] == "worker-1 was ended by SIGKILL; starting it again in 0.2 s"


async def test_a_process_that_keeps_dying_waits_longer_each_time(watched: Watched) -> None:
    """Deaths in a row are counted, reported with the exit code, and slow the restarts down."""
    await watched.start("broken", "import sys; print('no luck'); sys.exit(3)")
    await watched.until(lambda: watched.supervisor.deaths("broken") >= 3)
    assert "ended with exit code 3; starting it again in 0.4 s" in watched.notices[2]
    assert ("broken", "no luck") in watched.lines


def test_restart_delays_double_up_to_a_limit() -> None:
    """The first restart is quick, the tenth is five seconds away."""
    assert [restart_delay_seconds(deaths) for deaths in (1, 2, 3, 10)] == [0.2, 0.4, 0.8, 5.0]


async def test_services_have_ended_before_the_engines_are_asked_to(watched: Watched) -> None:
    """Whatever a service finishes at SIGTERM still has its engines; all exit with 0."""
    engine = await watched.start("engine", _POLITE, StopOrder.ENGINES_LAST)
    service = await watched.start("service", _POLITE)
    await watched.until(lambda: watched.lines.count(("engine", "up")) + watched.lines.count(("service", "up")) == 2)
    await watched.supervisor.stop()
    assert (service.exit_code(), engine.exit_code()) == (0, 0)
    assert watched.printed_at("service") < watched.printed_at("engine")


async def test_hurrying_ends_even_a_process_that_ignores_sigterm(watched: Watched) -> None:
    """A second Ctrl-C does not wait for anybody."""
    stubborn = await watched.start("stubborn", _STUBBORN)
    await watched.until(lambda: ("stubborn", "up") in watched.lines)
    stopping = asyncio.create_task(watched.supervisor.stop())
    await asyncio.sleep(0)
    started_at = time.monotonic()
    watched.supervisor.hurry()
    await stopping
    assert time.monotonic() - started_at < 2
    assert stubborn.exit_code() == -9


async def test_output_comes_in_whole_lines_of_limited_length(watched: Watched) -> None:
    """Bytes that are no text, a line without an end and an endless line reach the terminal bounded."""
    code = "import os; os.write(1, b'first\\nsecond \\xff\\n' + b'x' * 100_000 + b'\\nlast without end')"
    process = watched.process("talker", code)
    process.spawn()
    await watched.until(lambda: not process.is_running)
    process.close_output()
    texts = [line for _, line in watched.lines]
    assert texts[:2] == ["first", "second \ufffd"]
    assert texts[-1] == "last without end"
    assert max(map(len, texts)) <= LINE_BYTES_MAX


async def test_a_process_that_ends_at_once_says_why(watched: Watched) -> None:
    """Readiness of an ended process raises with the last lines it printed."""
    process = watched.process("short", "print('because')")
    process.spawn()
    await watched.until(lambda: not process.is_running)
    process.close_output()
    with pytest.raises(ProcessEndedError, match="short ended with 0:\n  because"):
        process.is_ready()
