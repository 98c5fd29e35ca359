"""Writes the moves of a worker's transfers: those that come at the same moment in one statement.

While one statement runs the next batch collects: who comes alone does not wait, and under load there is no statement for each.
While the database is away a batch is tried until it is written; nothing is sent for it meanwhile.
"""

import asyncio
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.database import Database, refuses_data
from wallet_gateway.transfers import engine_repository
from wallet_gateway.transfers.journey import Record

log = structlog.get_logger()

BATCH_MAX: Final = 500
_WRITERS: Final = 2
_GATHER_SECONDS: Final = 0.004
"""So long a batch collects after another one during which moves came; one that comes alone is written at once."""
_COMPANY_SECONDS: Final = 0.02
"""So long the second writer lets the first one finish: two half batches cost the database nearly twice as much as one whole."""
_BACKOFF_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0)


class Recorder:
    """One per worker. ``run`` it beside those that write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[tuple[Record, asyncio.Future[bool]]] = asyncio.Queue()
        self._writing = asyncio.Lock()

    async def write(self, record: Record) -> bool:
        """Write a move; returns True once it is committed, False when another worker has the transfer now."""
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((record, written))
        return await written

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WRITERS):
                group.create_task(self._write_batches())

    async def _write_batches(self) -> None:
        while True:
            first = await self._waiting.get()
            is_first_writer = await self._has_turn()
            try:
                batch = [first]
                while len(batch) < BATCH_MAX and not self._waiting.empty():
                    batch.append(self._waiting.get_nowait())
                await self._write(batch)
                if is_first_writer and not self._waiting.empty():
                    await asyncio.sleep(_GATHER_SECONDS)
            finally:
                if is_first_writer:
                    self._writing.release()

    async def _has_turn(self) -> bool:
        """Wait until nobody else writes, but not for long: then True, and the lock is ours."""
        if not self._writing.locked():
            return await self._writing.acquire()
        try:
            return await asyncio.wait_for(self._writing.acquire(), _COMPANY_SECONDS)
        except TimeoutError:
            return False

    async def _write(self, batch: list[tuple[Record, asyncio.Future[bool]]]) -> None:
        failures = 0
        while True:
            try:
                async with self._database.autocommit() as connection:
                    written = await engine_repository.record(connection, [record for record, _ in batch])
                break
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                if refuses_data(exc):
                    await self._write_one_by_one(batch, exc)
                    return
                log.warning("transfers.record_waits", reason=type(exc).__name__, records=len(batch))
                await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
                failures += 1
        for record, done in batch:
            if not done.done():
                done.set_result(UUID(record["id"]) in written)

    async def _write_one_by_one(self, batch: list[tuple[Record, asyncio.Future[bool]]], exc: Exception) -> None:
        """Keep one record that the database refuses from stopping the others; its transfer fails loudly, and alone."""
        if len(batch) > 1:
            for item in batch:
                await self._write([item])
        elif not batch[0][1].done():
            batch[0][1].set_exception(exc)
