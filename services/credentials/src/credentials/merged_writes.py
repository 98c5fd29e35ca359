"""What verifications leave behind, merged in memory and written in one statement every few seconds: verifying writes nothing."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import Database

FLUSH_SECONDS = 5.0
PENDING_MAX = 100_000

Place = TypeVar("Place")
Value = TypeVar("Value")

log = structlog.get_logger()


class MergedWrites(ABC, Generic[Place, Value]):
    """Collects values by place between two writes. Over the limit, new places wait for the next round."""

    NAME: ClassVar[str]
    """What the log calls it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[Place, Value] = {}

    @abstractmethod
    async def _write(self, connection: AsyncConnection, pending: Mapping[Place, Value]) -> None:
        """Store everything in one statement."""

    def _collect(self, place: Place, value: Value) -> None:
        if place in self._pending or len(self._pending) < PENDING_MAX:
            self._pending[place] = value

    async def run(self) -> None:
        """Write every ``FLUSH_SECONDS`` until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what was collected; what cannot be written now stays for the next time."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            async with self._database.connection() as connection:
                await self._write(connection, pending)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            log.warning("merged_writes.not_written", what=self.NAME, reason=type(exc).__name__, places=len(pending))
            self._pending = {**pending, **self._pending}


class WrittenOnce(MergedWrites[Place, Value]):
    """Merged writes of facts that never change: what was written is not collected again (as long as this is remembered)."""

    REMEMBERED_MAX: ClassVar[int] = 500_000

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._written: set[Place] = set()

    def _knows(self, place: Place) -> bool:
        return place in self._written or place in self._pending

    async def flush(self) -> None:
        """Write what is new, and remember it."""
        collected = set(self._pending)
        await super().flush()
        if len(self._written) + len(collected) > self.REMEMBERED_MAX:
            self._written.clear()
        self._written |= collected - self._pending.keys()
