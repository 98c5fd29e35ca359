"""Rules of rejected events: keeping them within limits, and accepting one after a fix."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller, Realm
from shared.database import Database, refuses_data
from shared.problems import NotFound
from webhook_dispatcher.audit import repository as audit
from webhook_dispatcher.events.service import EventAcceptance, Published
from webhook_dispatcher.rejected_events import repository
from webhook_dispatcher.rejected_events.errors import RejectedEventIncomplete, RejectedEventReplayed
from webhook_dispatcher.rejected_events.rejection import Rejection, as_published, read

log = structlog.get_logger()

ROWS_MAX = 10_000
BYTES_MAX = 64 * 1024 * 1024
"""What is kept of one realm, or of all entries of which none can be read; the oldest go first."""
_BACKOFF_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)
_TRIM_EVERY_ROWS = 256
_TRIM_EVERY_BYTES = 8 * 1024 * 1024


@dataclass(slots=True)
class _Written:
    rows: int = _TRIM_EVERY_ROWS
    size_bytes: int = 0


class RejectedEvents:
    """Keeps what a process's intake rejects. Each place is trimmed now and then, so that it overshoots by little."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._written: dict[Realm | None, _Written] = {}

    async def keep(self, rejections: Sequence[Rejection]) -> None:
        """Write entries down; when this returns they are durable, or the database said that it never takes them.

        Tries until then, and is harmless when repeated.
        """
        failures = 0
        while True:
            try:
                await self._keep(rejections)
            except (SQLAlchemyError, OSError) as exc:
                if refuses_data(exc):
                    await self._keep_apart(rejections)
                    break
                log.warning("rejected_events.waiting", reason=type(exc).__name__, entries=len(rejections))
                await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
                failures += 1
            else:
                break

    async def _keep_apart(self, rejections: Sequence[Rejection]) -> None:
        """Find the entry that the database never takes, so that the others do not go with it."""
        if len(rejections) == 1:
            log.error("rejected_events.not_kept", source=rejections[0].source, entry_id=rejections[0].kept_entry_id)
            return
        middle = len(rejections) // 2
        await self.keep(rejections[:middle])
        await self.keep(rejections[middle:])

    async def _keep(self, rejections: Sequence[Rejection]) -> None:
        readable = [(item, read(item.body)) for item in rejections]
        for item, told in readable:
            written = self._written.setdefault(told.realm, _Written())
            written.rows += 1
            written.size_bytes += len(item.kept_body)
        full = {
            place
            for place, written in self._written.items()
            if written.rows > _TRIM_EVERY_ROWS or written.size_bytes > _TRIM_EVERY_BYTES
        }
        async with self._database.transaction() as session:
            await repository.insert(session, readable)
            for place in full:
                await repository.trim(session, place, rows_max=ROWS_MAX, bytes_max=BYTES_MAX)
        for place in full:
            self._written[place] = _Written(rows=0)
        if len(self._written) > ROWS_MAX:
            self._written.clear()


async def replay(
    session: AsyncSession,
    caller: Caller,
    acceptance: EventAcceptance,
    rejected_id: UUID,
    *,
    corrected: bytes | None,
    now: datetime,
) -> Published:
    """Accept the event of an entry, as it was or corrected, in the caller's realm; once, in the session's transaction.

    An entry without a readable tenant is replayed by platform credentials alone, into the realm that they name. Raises NotFound,
    RejectedEventReplayed, RejectedEventIncomplete, and what publishing raises.
    """
    found = await repository.find(session, rejected_id=rejected_id, places=_places(caller), for_update=True)
    if found is None:
        raise NotFound
    rejected, body = found
    if rejected.replayed_at is not None:
        raise RejectedEventReplayed
    if corrected is None and not rejected.complete:
        raise RejectedEventIncomplete
    published = await acceptance.publish(
        as_published(
            body if corrected is None else corrected,
            default_id=rejected.default_event_id,
            from_queue=corrected is None,
        ),
        realm=caller.realm,
        now=now,
        session=session,
    )
    (event_id,) = published.ids
    await repository.mark_replayed(session, rejected_id=rejected_id, by=caller.actor, event_id=event_id)
    changes = {
        "event_id": event_id,
        "corrected": corrected is not None,
        "reason": rejected.reason,
        "accepted": published.acceptance.accepted,
    }
    target = typeids.encode("rej", rejected_id)
    await audit.record(session, caller, action="rejected_event.replayed", target=target, changes=changes)
    return published


def _places(caller: Caller) -> Sequence[Realm | None]:
    """Return where a caller may replay from: its realm; a platform credential also what belongs to none."""
    return [caller.realm] if caller.principal.tenant_id is not None else [caller.realm, None]
