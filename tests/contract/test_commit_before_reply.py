"""Nothing is acknowledged before it is committed: at the first byte of an answer, another connection sees the change."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.app_factory import create_service_app
from shared.database import Database, Transaction, transaction
from shared.settings import ServiceSettings
from support.databases import Databases

# What the Transaction of shared.database would be with FastAPI's default.
LateTransaction = Annotated[AsyncSession, Depends(transaction, scope="request")]


@dataclass
class Resources:
    """Only a database."""

    database: Database

    def checks(self) -> dict[str, Any]:
        """Return no checks."""
        return {}


@pytest.fixture(scope="module")
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """Return a database with one table, whose commits can be made to fail by a deferred constraint."""
    async with databases.temporary() as url:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE notes (name text UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        await connection.close()
        yield url


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[FastAPI]:
    """Return an application of the factory with the same route over both kinds of transaction."""
    settings = ServiceSettings(database_url=database_url, queue_url="redis://none", log_level="error")
    database = Database.open(settings.database_url, application_name="contract")

    @asynccontextmanager
    async def opened(_registry: object) -> AsyncIterator[Resources]:
        yield Resources(database)

    app = create_service_app(
        title="contract", version="1", description="", settings=settings, open_resources=opened, routers=[]
    )

    @app.post("/function/{name}")
    async def write(name: str, session: Transaction) -> None:
        await session.execute(text("INSERT INTO notes VALUES (:name)"), {"name": name})

    @app.post("/request/{name}")
    async def write_late(name: str, session: LateTransaction) -> None:
        await session.execute(text("INSERT INTO notes VALUES (:name)"), {"name": name})

    async with app.router.lifespan_context(app):
        yield app
    await database.aclose()


async def call(app: FastAPI, path: str, *, observer: asyncpg.Connection) -> tuple[int, int]:
    """Return the answer's status, and how many rows of that name others saw at the moment it began."""
    seen: list[tuple[int, int]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            rows = await observer.fetchval("SELECT count(*) FROM notes WHERE name = $1", path.rpartition("/")[2])
            seen.append((message["status"], rows))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("service", 80),
    }
    await app(scope, receive, send)  # type: ignore[arg-type]  # plain ASGI messages
    assert len(seen) == 1
    return seen[0]


@pytest.fixture
async def observer(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection of its own."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_the_change_is_there_when_the_answer_begins(app: FastAPI, observer: asyncpg.Connection) -> None:
    """With the transaction that all routes use."""
    assert await call(app, "/function/a", observer=observer) == (200, 1)


async def test_a_commit_that_fails_is_not_answered_as_a_success(app: FastAPI, observer: asyncpg.Connection) -> None:
    """The second of the same name fails at the commit, and its caller is told."""
    await call(app, "/function/twice", observer=observer)
    assert await call(app, "/function/twice", observer=observer) == (500, 1)


async def test_the_frameworks_default_would_answer_too_early(app: FastAPI, observer: asyncpg.Connection) -> None:
    """This is what scope="function" protects from: success is claimed with nothing there, even for a commit that fails."""
    assert await call(app, "/request/b", observer=observer) == (200, 0)
    assert (await call(app, "/request/b", observer=observer))[0] == 200
    assert await observer.fetchval("SELECT count(*) FROM notes WHERE name = 'b'") == 1
