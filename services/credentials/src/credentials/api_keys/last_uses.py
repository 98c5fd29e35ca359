"""When each key was last used: merged in memory, written in one statement every few seconds. Verifying writes nothing."""

import asyncio
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from credentials.api_keys import last_uses_repository
from credentials.api_keys.last_uses_repository import LastUse
from shared.database import Database
from shared.principals import Address

FLUSH_SECONDS = 5.0
PENDING_MAX = 100_000

log = structlog.get_logger()


class LastUses:
    """Collects uses between two writes. Over the limit, keys not yet collected wait for the next round."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[tuple[UUID, int], LastUse] = {}

    def note(self, key_id: UUID, *, version: int, used_at: float, ip: Address | None) -> None:
        """Remember a use; costs no I/O."""
        place = (key_id, version)
        if place in self._pending or len(self._pending) < PENDING_MAX:
            self._pending[place] = LastUse(used_at=used_at, ip=ip)

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
                await last_uses_repository.write(connection, pending)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            log.warning("api_keys.last_uses_not_written", reason=type(exc).__name__, keys=len(pending))
            self._pending = {**pending, **self._pending}
