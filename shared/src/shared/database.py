"""Postgres through SQLAlchemy and asyncpg, and the one transaction of a request.

A request's transaction commits before its answer leaves: on this FastAPI a plain ``yield`` dependency finishes after the
response was sent, hence ``scope="function"``. Used by every service.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import asyncpg
import orjson
from fastapi import Depends, Request
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

_STATEMENT_TIMEOUT_MS = 30_000
_IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
_CONNECT_TIMEOUT_SECONDS = 5
_TRIES_MAX = 5
_TRUSTED_SECONDS = 1.0
"""So long a connection is believed to live after it was used."""
_PLAN_ONCE = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
# SQLSTATE classes: connection exceptions, operator intervention (shutdown, crash, starting up), insufficient resources.
_UNAVAILABLE_SQLSTATES = ("08", "57P", "53")
# Serialization failure, deadlock detected.
_CROSSED_SQLSTATES = frozenset({"40001", "40P01"})
# Data exception, integrity constraint violation, program limit exceeded.
_DATA_SQLSTATES = ("22", "23", "54")

_T = TypeVar("_T")


class Database:
    """One service's database: the engine and its sessions."""

    def __init__(self, engine: AsyncEngine, *, session_info: Mapping[str, Any] | None = None) -> None:
        self.engine = engine
        self._autocommit_engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sessions = async_sessionmaker(engine, expire_on_commit=False, info=dict(session_info or {}))

    @classmethod
    def open(
        cls,
        url: str,
        *,
        application_name: str,
        pool_size: int = 10,
        plan_once: bool = False,
        session_info: Mapping[str, Any] | None = None,
    ) -> "Database":
        """Make the pool; no connection is opened before the first use.

        ``session_info`` comes along with each session, as its ``info``.

        ``plan_once`` is for few, hot statements written so that one plan fits all: each is planned once a connection. Planning
        anew each time takes longer than running them. Such a plan never reads a whole table where an index serves: it may
        be made while the tables are empty, and must still be right when they are not.
        """
        engine = create_async_engine(
            url,
            # All are kept: one that is opened for a moment of load and closed after it costs more than a hundred statements.
            pool_size=pool_size * 2,
            max_overflow=0,
            pool_timeout=10,
            # Parameters hold payloads and hashes, and an error's text reaches the log.
            hide_parameters=True,
            pool_use_lifo=True,
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
            connect_args={
                "timeout": _CONNECT_TIMEOUT_SECONDS,
                "server_settings": {
                    "application_name": application_name,
                    "statement_timeout": str(_STATEMENT_TIMEOUT_MS),
                    "idle_in_transaction_session_timeout": str(_IDLE_IN_TRANSACTION_TIMEOUT_MS),
                    "timezone": "UTC",
                    **(_PLAN_ONCE if plan_once else {}),
                },
            },
        )
        if not plan_once:
            # A request finds out that its connection died in an outage before it uses it; hot statements are repeated anyway.
            _test_before_use(engine)
        return cls(engine, session_info=session_info)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a session in a transaction: commits at the end, rolls back on any error."""
        async with self._sessions.begin() as session:
            yield session

    async def repeat(self, work: Callable[[AsyncSession], Awaitable[_T]]) -> _T:
        """Do ``work`` in a transaction; where it crossed another one and was rolled back, do it again, a few times.

        For commands and jobs, which nobody else would send again. What ``work`` changes outside the database it changes twice.
        """
        for _ in range(_TRIES_MAX - 1):
            try:
                async with self.transaction() as session:
                    return await work(session)
            except DBAPIError as exc:
                if not _was_crossed(exc):
                    raise
        async with self.transaction() as session:
            return await work(session)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection in a transaction, for bulk statements that need no session."""
        async with self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection on which each statement is its own transaction: one round trip instead of three."""
        async with self._autocommit_engine.connect() as connection:
            yield connection

    async def read(self, statement: str, *values: object) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a reading statement, its own transaction, with ``values`` in place of ``$1``, ``$2`` and so on.

        The driver runs it by itself, in half the time: for the hottest reads alone. Raises what the other ways raise.
        """
        async with self._autocommit_engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            try:
                rows: Sequence[Mapping[str, Any]] = await driver.fetch(statement, *values)
            except (asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
                gone = driver.is_closed()
                raise DBAPIError(statement, None, exc, hide_parameters=True, connection_invalidated=gone) from exc
            return rows

    async def check(self) -> None:
        """Raise if the server does not answer; for readiness."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()


def _test_before_use(engine: AsyncEngine) -> None:
    """Have connections replaced that are known to be closed, and those that were idle asked first whether they live.

    Asking each time, as the pool can do by itself, takes three round trips for every one that is of use.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def returned(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["returned_at"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def taken(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        now = time.monotonic()
        try:
            if connection.driver_connection.is_closed():
                raise DisconnectionError
            if now - record.info.get("returned_at", now) > _TRUSTED_SECONDS:
                engine.sync_engine.dialect.do_ping(connection)
        except (DBAPIError, engine.sync_engine.dialect.loaded_dbapi.Error, OSError) as exc:
            raise DisconnectionError from exc


async def transaction(request: Request) -> AsyncIterator[AsyncSession]:
    """Give a route its transaction; it is committed before the answer leaves."""
    async with request.app.state.resources.database.transaction() as session:
        yield session


Transaction = Annotated[AsyncSession, Depends(transaction, scope="function")]


def is_unavailable(exc: BaseException) -> bool:
    """Tell whether nothing was done and trying again helps.

    The server, or a connection to it, was not to be had, or the transaction crossed another one and was rolled back.
    """
    if isinstance(exc, DBAPIError):
        return exc.connection_invalidated or _was_crossed(exc) or _sqlstate(exc).startswith(_UNAVAILABLE_SQLSTATES)
    return isinstance(exc, OSError | PoolTimeoutError | InterfaceError)


def refuses_data(exc: BaseException) -> bool:
    """Tell whether the server says that the data cannot be stored, now or later.

    Anything else ends some time: a deadlock, a timeout, a full disk, a standby not promoted yet. Without an SQLSTATE the driver
    could not even send the data.
    """
    if not isinstance(exc, DBAPIError) or is_unavailable(exc):
        return False
    sqlstate = getattr(exc.orig, "sqlstate", None)
    return sqlstate is None or str(sqlstate).startswith(_DATA_SQLSTATES)


def _was_crossed(exc: DBAPIError) -> bool:
    return _sqlstate(exc) in _CROSSED_SQLSTATES


def _sqlstate(exc: DBAPIError) -> str:
    return getattr(exc.orig, "sqlstate", None) or ""
