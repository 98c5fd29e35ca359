"""The embedded engines on real data folders: quick start, crash, restart, neighbours, orphans."""

import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # the package ships no types
import pytest
from redis.asyncio import Redis

from embedded.engine import EngineStartError
from embedded.folder_lock import FolderInUseError
from embedded.postgres import EmbeddedPostgres
from embedded.valkey import EmbeddedValkey

_OWNER_THAT_WILL_BE_KILLED = """
import sys
from pathlib import Path
from embedded.postgres import EmbeddedPostgres
from embedded.valkey import EmbeddedValkey
postgres, valkey = EmbeddedPostgres(Path(sys.argv[1]) / "pg"), EmbeddedValkey(Path(sys.argv[1]) / "vk")
postgres.start(); valkey.start()
print(postgres.pid, valkey.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: run as root, PostgreSQL needs a way in, and another pytest session would close it again.
    path = Path(tempfile.mkdtemp(prefix="causeway-engines-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    engine = EmbeddedPostgres(folder / "pg", durable=False)
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture
def valkey(folder: Path) -> Iterator[EmbeddedValkey]:
    engine = EmbeddedValkey(folder / "vk", durable=False)
    engine.start()
    yield engine
    engine.stop()


async def _value(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_postgres_is_version_18_on_loopback_behind_a_password(postgres: EmbeddedPostgres) -> None:
    """PostgreSQL 18 answers its own URL and refuses a wrong password."""
    assert str(await _value(postgres.url(), "SHOW server_version")).startswith("18.")
    assert await _value(postgres.url(), "SELECT uuid_extract_version(uuidv7())") == 7
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url().replace(postgres.password, "wrong"))


async def test_postgres_keeps_committed_rows_over_kill_9(postgres: EmbeddedPostgres) -> None:
    """A killed server starts again on the same port within seconds, with every committed row."""
    connection = await asyncpg.connect(postgres.url())
    await connection.execute("CREATE TABLE kept (number int)")
    await connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    url = postgres.url()
    postgres.kill()
    started_at = time.monotonic()
    postgres.start()
    assert time.monotonic() - started_at < 5
    assert postgres.url() == url
    assert await _value(url, "SELECT count(*) FROM kept") == 1000
    connection.terminate()


async def test_valkey_keeps_what_it_answered_over_kill_9(valkey: EmbeddedValkey) -> None:
    """A killed server reads its append-only file again: stream, group and pending entry are still there."""
    queue = Redis.from_url(valkey.url())
    for number in range(100):
        await queue.xadd("causeway:events", {"event": str(number)})
    await queue.xgroup_create("causeway:events", "readers", id="0")
    await queue.xreadgroup("readers", "one", {"causeway:events": ">"}, count=3)
    await queue.aclose()
    valkey.kill()
    valkey.start()
    queue = Redis.from_url(valkey.url())
    assert await queue.xlen("causeway:events") == 100
    assert (await queue.xpending("causeway:events", "readers"))["pending"] == 3
    assert (await queue.info("server"))["valkey_version"].startswith("9.")
    await queue.aclose()


async def test_a_stopped_engine_exits_cleanly_and_starts_again_from_a_new_object(folder: Path) -> None:
    """Stopping leaves exit code 0 and no lock; the data folder alone is enough to go on."""
    first = EmbeddedPostgres(folder / "pg", durable=False)
    first.start()
    await _value(first.url(), "CREATE TABLE kept (number int)")
    first.stop()
    assert first.exit_code() == 0
    second = EmbeddedPostgres(folder / "pg", durable=False)
    second.start()
    assert await _value(second.url(), "SELECT count(*) FROM kept") == 0
    second.stop()


def test_two_of_each_run_side_by_side(folder: Path, postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> None:
    """Engines with their own folders take their own ports and passwords."""
    other_postgres, other_valkey = EmbeddedPostgres(folder / "pg2", durable=False), EmbeddedValkey(folder / "vk2")
    other_postgres.start()
    other_valkey.start()
    assert len({postgres.port, valkey.port, other_postgres.port, other_valkey.port}) == 4
    assert postgres.password != other_postgres.password
    other_valkey.stop()
    other_postgres.stop()


def test_a_second_owner_of_the_same_folder_is_refused(folder: Path, valkey: EmbeddedValkey) -> None:
    """A running server is never mistaken for the leftover of a crash."""
    with pytest.raises(FolderInUseError, match="is in use by process"):
        EmbeddedValkey(folder / "vk").start()
    assert valkey.is_running


def test_a_server_that_cannot_start_says_why(folder: Path, postgres: EmbeddedPostgres) -> None:
    """The error carries the end of the engine's own log."""
    unlucky = EmbeddedPostgres(folder / "pg3", port=postgres.port, durable=False)
    with pytest.raises(EngineStartError, match="could not bind"):
        unlucky.start()
    unlucky.stop()


def test_secrets_of_the_engines_are_for_the_owner_only(folder: Path, valkey: EmbeddedValkey) -> None:
    """Password and configuration have mode 0600, and no argument shows the password."""
    for name in ("valkey.password", "valkey.conf"):
        assert stat.S_IMODE((folder / "vk" / name).stat().st_mode) == 0o600
    assert valkey.password not in " ".join(psutil.Process(valkey.pid).cmdline())


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_engines_end_with_a_killed_owner_and_the_data_starts_again(folder: Path) -> None:
    """Kill -9 of the owner leaves no server behind, and a new owner may come at once."""
    command = [sys.executable, "-c", _OWNER_THAT_WILL_BE_KILLED, str(folder)]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 (our own code)
    assert owner.stdin is not None
    assert owner.stdout is not None
    servers = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
    owner.kill()
    owner.communicate()
    postgres, valkey = EmbeddedPostgres(folder / "pg"), EmbeddedValkey(folder / "vk")
    postgres.start()
    valkey.start()
    _, alive = psutil.wait_procs(servers, timeout=10)
    assert alive == []
    valkey.stop()
    postgres.stop()
