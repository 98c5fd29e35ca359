"""Start and end one process of the stack."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True)
class SystemUser:
    """The user a process runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class StopStep:
    """Send a signal, then wait at most this long."""

    signal: signal.Signals
    wait_seconds: float


class ChildProcess:
    """A process that we own and may start again and again; a subclass says how in its `spawn()`.

    `stop_steps` is how it wants to be asked to end; whoever is still there after them gets SIGKILL.
    """

    stop_steps: Sequence[StopStep] = (StopStep(signal.SIGTERM, wait_seconds=8.0),)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def exit_code(self) -> int | None:
        """None while it runs, and before it has been started; minus the signal that ended it."""
        return self._process.poll() if self._process else None

    def send_signal(self, wanted: signal.Signals) -> None:
        """Pass a signal on; a process that has ended is left alone."""
        if self._process is not None:
            self._process.send_signal(wanted)

    def stop(self) -> None:
        """End it in order, by `stop_steps`. Returns when it has ended."""
        if self._process is None:
            return
        for step in self.stop_steps:
            self._process.send_signal(step.signal)
            try:
                self._process.wait(timeout=step.wait_seconds)
            except subprocess.TimeoutExpired:
                continue
            return
        self.kill()

    def kill(self) -> None:
        """End it as a crash does: SIGKILL. Returns when it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def spawn(
    command: Sequence[str],
    *,
    output: int | IO[bytes],
    death_signal: signal.Signals,
    environment: Mapping[str, str] | None = None,
    working_dir: Path | None = None,
    run_as: SystemUser | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that gets `death_signal` when the calling thread ends without having stopped it (on Linux).

    Call it from a thread that lives as long as the process should, usually the main one. The process has its own
    session, so that Ctrl-C in the terminal reaches the supervisor alone, which then stops everything in order.
    """
    uid, gid = (run_as.uid, run_as.gid) if run_as else (-1, -1)
    prefix = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(int(death_signal)), str(uid), str(gid)]
    return subprocess.Popen(  # noqa: S603 (the command is made by this package, never by a request)
        [*prefix, *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=dict(environment) if environment is not None else None,
        cwd=working_dir,
        start_new_session=True,
    )
