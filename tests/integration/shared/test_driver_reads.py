"""``Database.read``: a statement that the driver runs by itself brings the same rows, and fails in the same way, as any other."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.exc import DBAPIError

from shared.database import Database, is_unavailable
from support.engine import until

_SECRET = "a value that no log may hold"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Return an open pool."""
    opened = Database.open(
        database_url.replace("postgresql://", "postgresql+asyncpg://"), application_name="reads", pool_size=1
    )
    yield opened
    await opened.aclose()


async def test_rows_come_by_the_names_of_their_columns(database: Database) -> None:
    """JSON is read, and the values stand where the statement says."""
    rows = await database.read("""SELECT $1::integer AS number, '{"a": [1]}'::jsonb AS content""", 7)
    assert [dict(row) for row in rows] == [{"number": 7, "content": {"a": [1]}}]


async def test_a_statement_that_is_refused_says_why_and_nothing_of_its_values(database: Database) -> None:
    """It is not taken for a server that is away."""
    with pytest.raises(DBAPIError) as caught:
        await database.read("SELECT length($1::text) / 0", _SECRET)
    assert not is_unavailable(caught.value)
    assert "division by zero" in str(caught.value)
    assert _SECRET not in str(caught.value)


async def test_a_connection_that_is_cut_is_told_as_such_and_replaced(database: Database) -> None:
    """What was asked for is free to be asked again, and then it is answered."""
    reading = asyncio.create_task(database.read("SELECT pg_sleep(30)"))
    other = Database.open(database.engine.url.render_as_string(hide_password=False), application_name="cuts")

    async def was_cut() -> bool:
        cut = await other.read(
            "SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity"
            " WHERE application_name = 'reads' AND query LIKE '%pg_sleep%'"
        )
        return any(row["done"] for row in cut)

    try:
        await until(was_cut, what="the connection is cut")
    finally:
        await other.aclose()
    with pytest.raises(DBAPIError) as caught:
        await reading
    assert is_unavailable(caught.value)
    assert [row["one"] for row in await database.read("SELECT 1 AS one")] == [1]
