"""Databases for tests: one migrated template per service, cloned for each test, so that commits are real."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from shared import migrate
from support.urls import with_path


class Databases:
    """Makes databases on one server, and drops them."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._templates: dict[str, str] = {}
        self._names: set[str] = set()
        # Two clones of one template at once would find it in use.
        self._lock = asyncio.Lock()

    async def create(self, package: str | None = None) -> str:
        """Return the URL of a new database: empty, or with the migrations of ``package`` (an import name) applied."""
        async with self._lock:
            template = await self._template(package) if package else None
            return with_path(self._server_url, await self._create(template))

    @asynccontextmanager
    async def temporary(self, package: str | None = None) -> AsyncIterator[str]:
        """Give a new database, and drop it afterwards, even if something is still connected to it."""
        url = await self.create(package)
        try:
            yield url
        finally:
            await self.drop(url)

    async def drop(self, url: str) -> None:
        """Drop one database."""
        await self._drop(url.rpartition("/")[2])

    async def drop_all(self) -> None:
        """Drop every database that was made."""
        for name in [*self._names]:
            await self._drop(name)

    async def _template(self, package: str) -> str:
        if package not in self._templates:
            name = await self._create(None)
            url = with_path(self._server_url, name).replace("postgresql://", "postgresql+asyncpg://", 1)
            # A thread of its own: the migration runs its own event loop.
            await asyncio.to_thread(migrate.upgrade, package, url)
            self._templates[package] = name
        return self._templates[package]

    async def _create(self, template: str | None) -> str:
        name = f"causeway_test_{secrets.token_hex(6)}"
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template or "template1"}"')
        self._names.add(name)
        return name

    async def _drop(self, name: str) -> None:
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._names.discard(name)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
