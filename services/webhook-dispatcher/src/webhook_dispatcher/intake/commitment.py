"""Committing events of a queue, whichever it is: tried until the database takes them, or says which one it cannot take."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from shared.database import refuses_data
from webhook_dispatcher.events.event import Event, InvalidEventError
from webhook_dispatcher.events.service import Acceptance, EventAcceptance, RealmKeepsChangingError

log = structlog.get_logger()

BATCH_MAX = 128
BATCH_BYTES = 8 * 1024 * 1024
"""How much is parsed and committed at once; one event may be larger by itself."""
_BACKOFF_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)
_QUERY_CANCELLED = "57014"

Item = TypeVar("Item")
Refused = TypeVar("Refused")


class Commitment(Generic[Item, Refused]):
    """Commits events with the items that they came as.

    ``accepted`` is told what became of those that were committed together, ``refused`` and ``not_storable`` say what is kept
    of an item that its realm, or the database, does not take.
    """

    def __init__(
        self,
        acceptance: EventAcceptance,
        *,
        accepted: Callable[[Acceptance, Sequence[Item]], None],
        refused: Callable[[Item, InvalidEventError], Refused],
        not_storable: Callable[[Item], Refused],
    ) -> None:
        self._acceptance = acceptance
        self._accepted = accepted
        self._refused = refused
        self._not_storable = not_storable

    async def commit(self, events: Sequence[tuple[Item, Event]], *, in_turn: bool) -> list[Refused]:
        """Return what was not taken, once all the others are committed.

        Raises NotInTurnError, with nothing accepted, where an event has to be in its turn and is not known to be.
        """
        failures = 0
        while events:
            try:
                acceptance = await self._acceptance.accept([event for _, event in events], in_turn=in_turn)
            except (SQLAlchemyError, OSError, RealmKeepsChangingError) as exc:
                if refuses_data(exc) or (_takes_too_long(exc) and len(events) > 1):
                    log.warning("intake.batch_halved", reason=type(exc).__name__, events=len(events))
                    return await self._commit_halves(events, in_turn=in_turn)
                log.warning("intake.waiting", reason=type(exc).__name__, events=len(events))
                await asyncio.sleep(backoff_seconds(failures))
                failures += 1
                continue
            self._accepted(acceptance, [item for item, _ in events])
            return [
                self._refused(item, acceptance.refused[event.id])
                for item, event in events
                if event.id in acceptance.refused
            ]
        return []

    async def _commit_halves(self, events: Sequence[tuple[Item, Event]], *, in_turn: bool) -> list[Refused]:
        """Find the event that the database does not take, or commit in smaller steps what takes too long at once."""
        if len(events) == 1:
            return [self._not_storable(events[0][0])]
        middle = len(events) // 2
        first = await self.commit(events[:middle], in_turn=in_turn)
        return [*first, *await self.commit(events[middle:], in_turn=in_turn)]


def backoff_seconds(failures: int) -> float:
    """Return how long to wait after so many failures in a row."""
    return _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]


def _takes_too_long(exc: BaseException) -> bool:
    """Tell whether a statement was ended for its duration; a smaller one may pass. One event alone is tried until it does."""
    return isinstance(exc, DBAPIError) and getattr(exc.orig, "sqlstate", None) == _QUERY_CANCELLED
