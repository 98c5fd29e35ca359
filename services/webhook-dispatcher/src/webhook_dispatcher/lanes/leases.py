"""Which lanes this worker owns: renewed each second, shared fairly, given up only when nothing of theirs is in flight."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.database import Database
from webhook_dispatcher.lanes import leases_repository as repository
from webhook_dispatcher.lanes.database_clock import DatabaseClock
from webhook_dispatcher.lanes.lane import LANE_COUNT, lane_of

log = structlog.get_logger()

RENEW_SECONDS = 1.0
_MARGIN = 0.8


class Leases:
    """The lanes of one worker.

    By the local clock a lease counts only 80 % of its time, so that a worker stops claiming before the database lets
    another one in. What is in flight then is settled by the fence.
    """

    def __init__(
        self,
        database: Database,
        *,
        name: str,
        lease_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.worker_id = repository.new_worker_id()
        self.database_clock = DatabaseClock()
        self._database = database
        self._name = name
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._owned: frozenset[int] = frozenset()
        self._leaving: frozenset[int] = frozenset()
        self._valid_until = -math.inf
        self._renewed_at = math.inf
        self._changing = asyncio.Lock()
        self._given_up = False
        self._may_take_from = -math.inf

    @property
    def lanes(self) -> frozenset[int]:
        """Return the lanes owned as of the last look."""
        return self._owned

    def serves(self, webhook_id: UUID) -> bool:
        """Tell whether a webhook's deliveries may be claimed here."""
        lane = lane_of(webhook_id)
        return lane in self._owned and lane not in self._leaving

    def hold(self, webhook_id: UUID) -> bool:
        """Tell whether a webhook's lane is ours still, also where it is about to be given up."""
        return self.are_valid() and lane_of(webhook_id) in self._owned

    def are_valid(self) -> bool:
        """Tell whether the last renewal still holds."""
        return self._clock() < self._valid_until

    async def renew(self, *, busy: Iterable[int]) -> bool:
        """Renew, take or give up lanes; ``busy`` are the lanes with something in flight. Returns whether any is new.

        Raises what the database raises; the leases then run out by themselves. After ``give_up`` it does nothing.
        """
        async with self._changing:
            return False if self._given_up else await self._renew(busy)

    async def _renew(self, busy: Iterable[int]) -> bool:
        asked_at = self._clock()
        async with self._database.autocommit() as connection:
            state = await repository.renew(
                connection, worker_id=self.worker_id, name=self._name, lease_seconds=self._lease_seconds
            )
            self.database_clock.set(state.at)
            owned = set(state.fences)
            share = math.ceil(LANE_COUNT / state.workers)
            # Keep the lanes that are leaving already: giving up others instead would never come to an end.
            surplus = sorted(owned, key=lambda lane: (lane not in self._leaving, lane))[: max(0, len(owned) - share)]
            self._leaving = frozenset(surplus)
            idle = self._leaving - set(busy)
            if idle:
                await repository.release(connection, worker_id=self.worker_id, lanes=sorted(idle))
                owned -= idle
            if asked_at - self._renewed_at > self._lease_seconds:
                # We were cut off for a lease's time. If the database was away so was everybody: the others' lanes ran out
                # as ours did, and taking them now, before they are back, would make what they have in flight unknown.
                self._may_take_from = self._clock() + self._lease_seconds
            taken: dict[int, int] = {}
            if len(owned) < share and asked_at >= self._may_take_from:
                taken = await repository.acquire(
                    connection, worker_id=self.worker_id, limit=share - len(owned), lease_seconds=self._lease_seconds
                )
        if taken or owned != self._owned:
            log.info("lanes.owned", count=len(owned) + len(taken), taken=len(taken), workers=state.workers)
        self._owned = frozenset(owned | taken.keys())
        self._leaving &= self._owned
        self._renewed_at = asked_at
        self._valid_until = asked_at + self._lease_seconds * _MARGIN
        return bool(taken)

    async def give_up(self) -> None:
        """Release all lanes and leave the round of workers; for an orderly stop."""
        lanes, self._owned = self._owned, frozenset()
        self._valid_until = -math.inf
        self._given_up = True
        try:
            # A renewal in progress ends first, or it would take the lanes again.
            async with (
                asyncio.timeout(self._lease_seconds),
                self._changing,
                self._database.autocommit() as connection,
            ):
                lanes |= self._owned
                self._owned = frozenset()
                await repository.release(connection, worker_id=self.worker_id, lanes=sorted(lanes))
                await repository.forget_worker(connection, worker_id=self.worker_id)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            log.warning("lanes.not_released", reason=type(exc).__name__)
