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


def stop(process: subprocess.Popen[bytes], steps: Sequence[StopStep]) -> int:
    """End a process by the steps, then with SIGKILL; returns its exit code. One that has ended already is fine."""
    for step in steps:
        if process.poll() is not None:
            break
        process.send_signal(step.signal)
        try:
            return process.wait(timeout=step.wait_seconds)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        process.kill()
    return process.wait()
