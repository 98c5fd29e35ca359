"""PostgreSQL and Valkey for tests, as pytest fixtures.

Embedded by default, or the servers that ``CAUSEWAY_POSTGRES_URL`` and ``CAUSEWAY_QUEUE_URL`` name. Each xdist worker has
engines of its own, started at the first test that asks.

- ``databases``: ``await databases.create("credentials")`` gives the URL of a fresh, migrated database with real commits.
- ``queue_url``: an empty Valkey database.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from embedded.postgres import EmbeddedPostgres
from embedded.valkey import EmbeddedValkey
from support.databases import Databases
from support.urls import with_path

_MAIN_PROCESS = "gw0"


@pytest.fixture(scope="session")
def engines_dir() -> Iterator[Path]:
    """Return a folder for data; not pytest's own, which other pytest sessions close to the user PostgreSQL runs as."""
    path = Path(tempfile.mkdtemp(prefix="causeway-tests-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(engines_dir: Path) -> Iterator[str]:
    """Return the URL of a server on which databases may be made and dropped."""
    given = os.environ.get("CAUSEWAY_POSTGRES_URL")
    if given:
        yield given
        return
    server = EmbeddedPostgres(engines_dir / "postgres", durable=False)
    server.start()
    yield server.url()
    server.stop()


@pytest.fixture(scope="session")
async def databases(postgres_url: str) -> AsyncIterator[Databases]:
    """Return the maker of databases; what it made is dropped at the end of the session."""
    made = Databases(postgres_url)
    yield made
    await made.drop_all()


@pytest.fixture(scope="session")
def valkey_url(engines_dir: Path) -> Iterator[str]:
    """Return the URL of this xdist worker's own numbered database on a Valkey server."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", _MAIN_PROCESS)
    number = 1 + int(worker.removeprefix("gw"))
    given = os.environ.get("CAUSEWAY_QUEUE_URL")
    if given:
        yield with_path(given, str(number))
        return
    server = EmbeddedValkey(engines_dir / "valkey", durable=False)
    server.start()
    yield server.url(number)
    server.stop()


@pytest.fixture
async def queue_url(valkey_url: str) -> str:
    """Return the URL of a Valkey database that was emptied for this test."""
    client: Redis = Redis.from_url(valkey_url)
    await client.flushdb()
    await client.aclose()
    return valkey_url
