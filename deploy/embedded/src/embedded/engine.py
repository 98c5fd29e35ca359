"""What PostgreSQL and Valkey have in common when they run as our children."""

import secrets
import time
from pathlib import Path
from typing import Protocol

import psutil  # type: ignore[import-untyped]  # the package ships no types

LOG_BYTES_MAX = 20 * 1024 * 1024
_LOG_LINES_SHOWN = 15
_READY_POLL_SECONDS = 0.01
_LEFTOVER_WAIT_SECONDS = 5.0


class EngineError(RuntimeError):
    """An embedded engine could not do what was asked."""


class EngineStartError(EngineError):
    """The engine ended, or was not ready in time; the message holds the end of its log."""


class Engine(Protocol):
    """A server that runs as a child process of ours and keeps its data in one folder."""

    @property
    def pid(self) -> int | None: ...
    def spawn(self) -> None:
        """Start the process and return at once."""

    def is_ready(self) -> bool:
        """Tell whether it answers; raises EngineStartError when the process has ended."""

    def exit_code(self) -> int | None:
        """None while the process runs."""

    def stop(self) -> None:
        """Orderly, with its data flushed."""

    def kill(self) -> None:
        """As a crash: SIGKILL."""


def wait_until_ready(engine: Engine, *, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not engine.is_ready():
        if time.monotonic() > deadline:
            engine.kill()
            raise EngineStartError(f"{type(engine).__name__} was not ready within {timeout_seconds:.0f} s")
        time.sleep(_READY_POLL_SECONDS)


def kept_password(path: Path) -> str:
    """Read the password from this file; make one, with mode 0600, when the file is missing."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        password = secrets.token_urlsafe(24)
        path.touch(mode=0o600)
        path.write_text(password)
        return password


def end_leftover(pid: int, *, data_dir: Path) -> None:
    """End a server that an earlier, killed run left behind on the same data; ignore any other owner of the pid."""
    try:
        process = psutil.Process(pid)
        if not any(str(data_dir) in argument for argument in process.cmdline()):
            return
        process.terminate()
        process.wait(timeout=_LEFTOVER_WAIT_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
    except psutil.Error:
        return


def log_tail(path: Path) -> str:
    """Read the last lines of an engine's log, for an error message."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-_LOG_LINES_SHOWN:])


def trim_log(path: Path) -> None:
    """Start the log afresh once it has grown past its limit."""
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.unlink()
