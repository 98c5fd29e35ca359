"""Those who wait for a transfer's end: told by a worker's hint, or by a look at the database where the hint was lost."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

import structlog
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError

from shared.database import Database
from wallet_gateway.transfers import repository, wake_up

log = structlog.get_logger()

_LOOK_SECONDS: Final = 0.5
_LOOKED_AT_MAX: Final = 1000


class Ends:
    """One per API process. ``run`` it until cancelled."""

    def __init__(self, database: Database, queue: Redis) -> None:
        self._database = database
        self._queue = queue
        self._waiting: dict[UUID, asyncio.Event] = {}

    @contextlib.contextmanager
    def expect(self, transfer_id: UUID) -> Iterator[asyncio.Event]:
        """Give an event that is set when the transfer ends; enter before it can."""
        ended = self._waiting.setdefault(transfer_id, asyncio.Event())
        try:
            yield ended
        finally:
            self._waiting.pop(transfer_id, None)

    async def run(self) -> None:
        """Listen, and look."""
        async with asyncio.TaskGroup() as group:
            group.create_task(wake_up.listen(self._queue, wake_up.ENDED, tell=self._tell))
            group.create_task(self._keep_looking())

    def _tell(self, ids: Sequence[UUID]) -> None:
        for transfer_id in ids:
            if (ended := self._waiting.get(transfer_id)) is not None:
                ended.set()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            waiting = [item for item, ended in self._waiting.items() if not ended.is_set()][:_LOOKED_AT_MAX]
            if not waiting:
                continue
            try:
                async with self._database.transaction() as session:
                    self._tell(await repository.ended_of(session, waiting))
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                log.warning("transfers.looking_again", reason=type(exc).__name__)
