"""Says that a worker lives, so that the transfers it has claimed are left to it."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared import typeids
from shared.database import Database
from wallet_gateway.transfers import lease_repository

log = structlog.get_logger()

RENEW_SECONDS: Final = 1.0
_MARGIN: Final = 0.8


class Lease:
    """One worker's. By the local clock it counts only 80 % of its time, so that a worker stops before others may begin."""

    def __init__(
        self, database: Database, *, name: str, lease_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.worker_id: UUID = typeids.new_id()
        self._database = database
        self._name = name
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._valid_until = -math.inf
        self._one_at_a_time = asyncio.Lock()
        self._is_given_up = False

    def is_valid(self) -> bool:
        """Tell whether the last renewal still holds."""
        return not self._is_given_up and self._clock() < self._valid_until

    async def renew(self) -> None:
        """Live on; raises what the database raises, and the lease runs out by itself. Nothing once it is given up."""
        async with self._one_at_a_time:
            if self._is_given_up:
                return
            asked_at = self._clock()
            async with self._database.autocommit() as connection:
                await lease_repository.renew_worker(
                    connection, worker_id=self.worker_id, name=self._name, lease_seconds=self._lease_seconds
                )
            self._valid_until = asked_at + self._lease_seconds * _MARGIN

    async def give_up(self) -> None:
        """Leave: what is still claimed may be taken at once."""
        self._is_given_up = True
        try:
            async with self._one_at_a_time, self._database.autocommit() as connection:
                await lease_repository.end_worker(connection, worker_id=self.worker_id)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            log.warning("transfers.lease_not_given_up", reason=type(exc).__name__)
