"""Tells the other processes when a breaker opens or closes: a worker finds out, and the API refuses new transfers."""

import asyncio
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.database import Database
from wallet_gateway.isolation import repository

log = structlog.get_logger()


class BreakerNotices:
    """Writes changes down in the background. One that cannot be written is lost: others find out for themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[UUID, float | None] = {}
        self._writing: asyncio.Task[None] | None = None

    def tell(self, wallet_id: UUID, open_seconds: float | None) -> None:
        """Note the newest state of a breaker: open for so long, or closed (None)."""
        log.info("wallet.breaker", wallet_id=str(wallet_id), open_seconds=open_seconds)
        self._pending[wallet_id] = open_seconds
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="breaker notices")

    async def settle(self) -> None:
        """Wait until what was told is written."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._pending:
            wallet_id, seconds = self._pending.popitem()
            try:
                async with self._database.transaction() as session:
                    if seconds is None:
                        await repository.note_closed(session, wallet_id=wallet_id)
                    else:
                        await repository.note_opened(session, wallet_id=wallet_id, seconds=seconds)
            except (SQLAlchemyError, OSError) as exc:
                log.warning("wallet.breaker_not_told", wallet_id=str(wallet_id), reason=type(exc).__name__)
