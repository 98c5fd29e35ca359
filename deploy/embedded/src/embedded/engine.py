"""What PostgreSQL and Valkey have in common when they run as our children."""

import os
import secrets
import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import psutil  # type: ignore[import-untyped]  # the package ships no types

from embedded.child_process import ChildProcess
from embedded.folder_lock import FolderLock
from embedded.ports import free_port

LOG_BYTES_MAX = 20 * 1024 * 1024
START_TIMEOUT_SECONDS = 30.0
_LOG_LINES_SHOWN = 15
_READY_POLL_SECONDS = 0.01
_LEFTOVER_WAIT_SECONDS = 5.0


class EngineError(RuntimeError):
    """An embedded engine could not do what was asked."""


class EngineStartError(EngineError):
    """The engine ended, or was not ready in time; the message holds the end of its log."""


class EngineProcess(ChildProcess, ABC):
    """One server over one data folder: `start()`, `stop()`, `kill()` and again `start()`.

    `data_dir` is made when missing and keeps the server's data, its password and its log; one object at a time may own
    it. `port` 0 takes a free one and keeps it for the life of this object. `durable=False` skips fsync, for tests.
    """

    title: ClassVar[str]

    def __init__(self, data_dir: Path, *, port: int = 0, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self.port = port
        self.durable = durable
        self.log_path = self.data_dir / f"{self.title.lower()}.log"
        self.password = ""
        self._lock: FolderLock | None = None

    @abstractmethod
    def is_ready(self) -> bool:
        """Tell whether it answers; raises EngineStartError when the process has ended."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data folder's content ready for a server, also after a crash."""

    @abstractmethod
    def _launch(self) -> None:
        """Start the server's process."""

    def start(self) -> None:
        """Return when the server answers. Raises EngineStartError with the end of the log."""
        self.spawn()
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self.is_ready():
            if time.monotonic() > deadline:
                self.kill()
                raise EngineStartError(f"{self.title} was not ready within {START_TIMEOUT_SECONDS:.0f} s")
            time.sleep(_READY_POLL_SECONDS)

    def spawn(self) -> None:
        """Start the process and return at once; `is_ready()` tells the rest."""
        if self.is_running:
            raise EngineStartError(f"this {self.title} runs already")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        # Held over a crash and restart; without it a second owner would take the first one's server for a leftover.
        self._lock = self._lock or FolderLock(self.data_dir)
        self.password = self.password or self._kept_password()
        self.port = self.port or free_port()
        self._prepare()
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_MAX:
            self.log_path.unlink()
        self._launch()

    def stop(self) -> None:
        super().stop()
        self._let_go()

    def kill(self) -> None:
        super().kill()
        self._let_go()

    def ended_error(self) -> EngineStartError:
        """Build the error for a server that ended instead of getting ready."""
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
        except OSError:
            lines = ["(no log)"]
        return EngineStartError("\n".join([f"{self.title} ended at once; the end of {self.log_path}:", *lines]))

    def _let_go(self) -> None:
        if self._lock:
            self._lock.release()
            self._lock = None

    def _kept_password(self) -> str:
        path = self.data_dir / f"{self.title.lower()}.password"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(24))
        return path.read_text().strip()


def end_leftover(pid: int, *, of: Path) -> bool:
    """End a server that a killed run left behind on the data in `of`; False when the pid is somebody else's."""
    try:
        process = psutil.Process(pid)
        if not any(str(of) in argument for argument in process.cmdline()):
            return False
        process.send_signal(signal.SIGINT)
        process.wait(timeout=_LEFTOVER_WAIT_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
    except psutil.NoSuchProcess:
        return True
    return True


def engine_environment() -> dict[str, str]:
    """Return the whole environment of an engine: nothing of the caller's, whose variables change what servers do."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
