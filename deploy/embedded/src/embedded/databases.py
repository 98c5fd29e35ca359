"""One database per service on one server."""

from urllib.parse import quote, urlsplit

import asyncpg

from embedded.errors import StackError

_CONNECT_TIMEOUT_SECONDS = 10.0


def plain_url(url: str) -> str:
    """Return the URL without SQLAlchemy's driver suffix, as every other tool reads it."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


def database_url(server_url: str, database: str) -> str:
    """Return the URL of another database of the same server."""
    return urlsplit(plain_url(server_url))._replace(path="/" + quote(database)).geturl()


async def ensure_databases(server_url: str, names: list[str]) -> None:
    """Create the databases that are missing. Raises StackError when the server cannot be used."""
    try:
        connection = await asyncpg.connect(plain_url(server_url), timeout=_CONNECT_TIMEOUT_SECONDS)
    except (OSError, asyncpg.PostgresError, ValueError) as error:
        where = urlsplit(server_url).hostname or "the given address"
        raise StackError(f"PostgreSQL at {where} (CAUSEWAY_POSTGRES_URL) cannot be used: {error}") from error
    try:
        for name in names:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
                # The names are this package's own constants and hexadecimal digits.
                await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
