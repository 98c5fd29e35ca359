"""Real brokers for tests, run from packages that are fetched into a cache folder and unpacked there; nothing is installed.

NATS and RabbitMQ come as Debian packages (``apt-get download``), NATS else by ``go install``. ``CAUSEWAY_TEST_KAFKA`` names a
Kafka that is there already. What cannot be had raises BrokerNotHadError, by name.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

CACHE = Path(os.environ.get("CAUSEWAY_TEST_CACHE", Path.home() / ".cache" / "causeway-tests")) / "brokers"
_FETCH_SECONDS = 240
_START_SECONDS = 90.0
_ERLANG = (
    *("base", "asn1", "crypto", "public-key", "mnesia", "runtime-tools", "ssl", "eldap", "inets", "os-mon"),
    *("syntax-tools", "tools", "xmerl", "parsetools"),
)


class BrokerNotHadError(Exception):
    """A broker cannot be had on this machine; says which and why."""


class BrokerProcess:
    """One broker on a port of its own, whose data outlive a kill."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], folder: Path, port: int) -> None:
        self.port = port
        self._command = command
        self._environment = environment
        self._log = folder / "broker.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start, and wait until the port answers."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, **self._environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await self._answers():
                    if self._process.returncode is not None:
                        break
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        if not await self._answers():
            await self.kill()
            raise BrokerNotHadError(f"{self._command[0]} did not start: {self._log.read_text()[-600:]}")

    async def kill(self) -> None:
        """End it by SIGKILL, with everything that it started."""
        if self._process is not None and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


@asynccontextmanager
async def running_nats(folder: Path) -> AsyncIterator[BrokerProcess]:
    """Run a NATS server with JetStream; raises BrokerNotHadError."""
    server = await asyncio.to_thread(_find_nats)
    port = _free_port()
    command = [str(server), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "data")]
    async with _running(BrokerProcess(command, environment={}, folder=folder, port=port)) as broker:
        yield broker


@asynccontextmanager
async def running_rabbitmq(folder: Path) -> AsyncIterator[BrokerProcess]:
    """Run RabbitMQ on one node; raises BrokerNotHadError."""
    root = await asyncio.to_thread(_find_rabbitmq)
    port, names_port = _free_port(), _free_port()
    [server] = root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
    environment = {
        "PATH": f"{root}/usr/lib/erlang/bin:{os.environ['PATH']}",
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names_port),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_NODENAME": "causeway@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(_free_port()),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
    }
    # The name server of Erlang would else be started as a daemon that outlives the test.
    names_command = [str(root / "usr/lib/erlang/bin/epmd"), "-port", str(names_port), "-address", "127.0.0.1"]
    names_folder = folder / "names"
    names_folder.mkdir()
    names = BrokerProcess(names_command, environment={}, folder=names_folder, port=names_port)
    server_process = BrokerProcess([str(server)], environment=environment, folder=folder, port=port)
    async with _running(names), _running(server_process) as broker:
        yield broker


@asynccontextmanager
async def _running(broker: BrokerProcess) -> AsyncIterator[BrokerProcess]:
    await broker.start()
    try:
        yield broker
    finally:
        await broker.kill()


def _find_nats() -> Path:
    installed = shutil.which("nats-server")
    if installed:
        return Path(installed)
    try:
        return _unpacked("nats", ["nats-server"]) / "usr/sbin/nats-server"
    except BrokerNotHadError as no_package:
        go = shutil.which("go")
        target = CACHE / "go"
        if not go:
            raise BrokerNotHadError(f"NATS: {no_package}; and Go is not here") from no_package
        if not (target / "nats-server").exists():
            command = [go, "install", "github.com/nats-io/nats-server/v2@latest"]
            _run(command, cwd=Path.home(), environment={"GOBIN": str(target)}, what="NATS by Go")
        return target / "nats-server"


def _find_rabbitmq() -> Path:
    root = _unpacked("rabbitmq", ["rabbitmq-server", *(f"erlang-{part}" for part in _ERLANG)])
    # The script has its place of installation written into it.
    script = root / "usr/lib/erlang/bin/erl"
    script.write_text(script.read_text().replace("ROOTDIR=/usr/lib/erlang", f"ROOTDIR={root}/usr/lib/erlang"))
    return root


def _unpacked(name: str, packages: Sequence[str]) -> Path:
    """Return the folder with the unpacked Debian packages, fetched at first use; raises BrokerNotHadError."""
    target = CACHE / name
    if target.exists():
        return target
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise BrokerNotHadError(f"{name}: no Debian packages on this machine")
    made = CACHE / f"{name}.{os.getpid()}"
    shutil.rmtree(made, ignore_errors=True)
    (made / "packages").mkdir(parents=True)
    _download(packages, folder=made / "packages", what=name)
    for package in sorted((made / "packages").glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(made)], cwd=made, what=name)
    try:
        made.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(made)
    return target


def _download(packages: Sequence[str], *, folder: Path, what: str) -> None:
    try:
        _run(["apt-get", "download", *packages], cwd=folder, what=what)
    except BrokerNotHadError:
        # The machine has no lists of packages, or old ones: fetch them, to this folder.
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "cache").mkdir()
        options = ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
        _run(["apt-get", *options, "update"], cwd=folder, what=what)
        _run(["apt-get", *options, "download", *packages], cwd=folder, what=what)
        shutil.rmtree(folder / "lists")


def _run(command: Sequence[str], *, cwd: Path, what: str, environment: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - the commands stand above
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=_FETCH_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise BrokerNotHadError(f"{what}: {exc}") from exc
    if done.returncode:
        raise BrokerNotHadError(f"{what}: {done.stderr.strip()[-300:]}")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
