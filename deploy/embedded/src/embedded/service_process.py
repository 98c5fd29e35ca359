"""One API or worker of the stack as a supervised child, with its output passed on line by line."""

import asyncio
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from embedded.child_process import ChildProcess, StopStep, spawn
from embedded.errors import ProcessEndedError

LINE_BYTES_MAX = 16 * 1024
_LINES_REMEMBERED = 20
_READ_BYTES = 64 * 1024


class ServiceProcess(ChildProcess):
    """Spawn it from a running event loop, which then also reads its output."""

    # Whatever a service has in flight at SIGTERM ends within its own deadline; a rest is cut off here, so that the
    # engines too have ended within the 15 s that stopping may take.
    stop_steps = (StopStep(signal.SIGTERM, wait_seconds=10.0),)

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], on_line: Callable[[str, str], None]
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._on_line = on_line
        self._last_lines: deque[str] = deque(maxlen=_LINES_REMEMBERED)
        self._output: _OutputLines | None = None

    def spawn(self) -> None:
        self.close_output()
        # SIGKILL and not SIGTERM when the supervisor is killed: the engines go down at the same moment, so there is
        # nothing left to be orderly with, and no process may stay behind. What is committed is safe either way.
        self._process = spawn(
            self._command, output=subprocess.PIPE, death_signal=signal.SIGKILL, environment=self._environment
        )
        assert self._process.stdout is not None
        self._output = _OutputLines(self._process.stdout, self._take_line)

    def is_ready(self) -> bool:
        """Tell that it runs (its health is asked over HTTP); raises ProcessEndedError with its last lines."""
        if not self.is_running:
            raise ProcessEndedError(f"{self.name} ended with {self.exit_code()}:\n{self.last_lines()}")
        return True

    def kill(self) -> None:
        super().kill()
        self.close_output()

    def last_lines(self) -> str:
        return "\n".join(f"  {line}" for line in self._last_lines) or "  (it printed nothing)"

    def close_output(self) -> None:
        """Pass on what the process has printed so far, and stop reading."""
        if self._output:
            self._output.close()
            self._output = None

    def _take_line(self, line: str) -> None:
        self._last_lines.append(line)
        self._on_line(self.name, line)


class _OutputLines:
    """Cuts a pipe into lines as they come, without ever holding more than LINE_BYTES_MAX of one."""

    def __init__(self, pipe: IO[bytes], on_line: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._on_line = on_line
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(pipe.fileno(), False)
        self._loop.add_reader(pipe.fileno(), self._read)

    def close(self) -> None:
        while not self._pipe.closed and self._read():
            pass
        self._end()

    def _read(self) -> bool:
        """Take what is there; False when there is nothing (more)."""
        try:
            chunk = os.read(self._pipe.fileno(), _READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._end()
            return False
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._emit(line)
        if len(self._rest) > LINE_BYTES_MAX:
            self._emit(self._rest)
            self._rest = b""
        return True

    def _end(self) -> None:
        if self._pipe.closed:
            return
        if self._rest:
            self._emit(self._rest)
            self._rest = b""
        self._loop.remove_reader(self._pipe.fileno())
        self._pipe.close()

    def _emit(self, line: bytes) -> None:
        self._on_line(line[:LINE_BYTES_MAX].decode(errors="replace").rstrip())
