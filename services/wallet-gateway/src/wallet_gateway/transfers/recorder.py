"""Writes the moves of a worker's transfers: those that come at the same moment in one statement.

While one statement runs the next batch collects: nobody waits for company, and under load there is no statement for each.
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
_BACKOFF_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0)


class Recorder:
    """One per worker. ``run`` it beside those that write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[tuple[Record, asyncio.Future[bool]]] = asyncio.Queue()

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
            batch = [await self._waiting.get()]
            while len(batch) < BATCH_MAX and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await self._write(batch)

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
