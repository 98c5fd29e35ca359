"""Retention, run by cron in one worker at a time: removes what is too old, and redacts payloads. Harmless when repeated.

Everything goes in small transactions, and each run ends after a while: the next one goes on. Nothing here waits long for a lock,
since whatever uses history would wait behind it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import Realm
from shared.database import Database
from webhook_dispatcher.events.event import make_payload
from webhook_dispatcher.retention import purge_repository, redaction_repository, repository
from webhook_dispatcher.retention.policy import Policy, cutoff, is_over
from webhook_dispatcher.retention.purge_repository import TakenMeanwhileError
from webhook_dispatcher.retention.redaction_repository import Due

log = structlog.get_logger()

REDACTED_DATA = b'{"redacted":true}'
RUN_SECONDS_MAX = 120.0
LOCK_TIMEOUT_MS = 250
"""How long a detachment waits for its lock, and everybody else behind it."""
_DETACH_TRIES = 8
_DETACH_PAUSE_SECONDS = 0.5
_KEYS_AT_ONCE = 5_000
_EVENTS_AT_ONCE = 500
_ROWS_AT_ONCE = 5_000
_SETTLED_AFTER = timedelta(hours=1)
"""No write that began so long ago still runs: what is older than that does not appear any more."""
_LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """For how many days the platform keeps what."""

    history_days: int
    rejected_event_days: int
    first_match_days: int


@dataclass(slots=True)
class Done:
    """What a run did."""

    days_dropped: list[date] = field(default_factory=list)
    days_kept: list[date] = field(default_factory=list)
    """Days past retention whose partitions stand: a delivery of theirs is outstanding, or the lock was not to be had."""
    events_purged: int = 0
    events_redacted: int = 0


class Retention:
    """See the module."""

    def __init__(self, database: Database, settings: RetentionSettings, registry: CollectorRegistry) -> None:
        self._database = database
        self._settings = settings
        self._positions: dict[Realm | None, UUID] = {}
        self._kept = Gauge(
            "causeway_retention_days_kept",
            "Days past retention whose partitions still stand after the last run",
            registry=registry,
        )
        self._purged = Counter("causeway_retention_events_purged", "Events removed one by one", registry=registry)
        self._redacted = Counter("causeway_retention_events_redacted", "Events redacted", registry=registry)

    async def run(self, *, now: datetime | None = None, seconds_max: float = RUN_SECONDS_MAX) -> Done:
        """Do what is due, for so long. Raises what the database raises; what was done until then is done."""
        now = now or datetime.now(UTC)
        ends_at = time.monotonic() + seconds_max
        done = Done()
        before = cutoff(now, self._settings.history_days)
        await self._drop_days(done, before=before)
        async with self._database.transaction() as session:
            policies = await repository.find_policies(session)
        for policy in policies:
            await self._redact_of(policy, done, now=now, ends_at=ends_at)
        for policy in policies:
            await self._purge_of(policy, done, now=now, ends_at=ends_at)
        # What no partition could take along: ids of odd days, and days with something outstanding.
        await self._purge(None, done, before=before, ends_at=ends_at)
        await self._remove_small(now=now, ends_at=ends_at)
        self._kept.set(len(done.days_kept))
        log.info(
            "retention.done",
            days_dropped=[day.isoformat() for day in done.days_dropped],
            days_kept=len(done.days_kept),
            events_purged=done.events_purged,
            events_redacted=done.events_redacted,
        )
        return done

    async def _drop_days(self, done: Done, *, before: datetime) -> None:
        async with self._database.transaction() as session:
            days = await purge_repository.find_days(session, attached=True)
        for day in days:
            if is_over(day, before=before) and not await self._detach(day):
                done.days_kept.append(day)
        async with self._database.transaction() as session:
            detached = await purge_repository.find_days(session, attached=False)
        for day in detached:
            # The ids go first: a run that is cut off here finds the tables again.
            position: UUID | None = purge_repository.START
            while position is not None:
                async with self._database.transaction() as session:
                    position = await purge_repository.forget_keys(session, day, after=position, limit=_KEYS_AT_ONCE)
            async with self._database.transaction() as session:
                await purge_repository.drop_day(session, day)
            done.days_dropped.append(day)

    async def _detach(self, day: date) -> bool:
        """Detach a day; False if something of it is outstanding, or the lock could not be had without making others wait."""
        for attempt in range(_DETACH_TRIES):
            if attempt:
                await asyncio.sleep(_DETACH_PAUSE_SECONDS)
            async with self._database.transaction() as session:
                if await purge_repository.has_outstanding(session, day):
                    return False
            try:
                async with self._database.transaction() as session:
                    return await purge_repository.detach_day(session, day, lock_timeout_ms=LOCK_TIMEOUT_MS)
            except DBAPIError as exc:
                if getattr(exc.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                    raise
        log.warning("retention.day_not_detached", day=day.isoformat())
        return False

    async def _purge_of(self, policy: Policy, done: Done, *, now: datetime, ends_at: float) -> None:
        days = policy.retention_days
        if days is not None and days < self._settings.history_days:
            await self._purge(policy.realm, done, before=cutoff(now, days), ends_at=ends_at)

    async def _purge(self, realm: Realm | None, done: Done, *, before: datetime, ends_at: float) -> None:
        """Remove events one by one; a run that ends here goes on there the next time."""
        while time.monotonic() < ends_at:
            after = self._positions.pop(realm, purge_repository.START)
            try:
                async with self._database.transaction() as session:
                    purged = await purge_repository.purge(
                        session, realm=realm, before=before, after=after, limit=_EVENTS_AT_ONCE
                    )
            except TakenMeanwhileError:
                self._positions[realm] = after
                continue
            done.events_purged += purged.events
            self._purged.inc(purged.events)
            if purged.position is None:
                return
            self._positions[realm] = purged.position

    async def _redact_of(self, policy: Policy, done: Done, *, now: datetime, ends_at: float) -> None:
        if policy.redact_after_days is None:
            return
        realm = policy.realm
        before = min(cutoff(now, policy.redact_after_days), now - _SETTLED_AFTER)
        position: UUID | None = purge_repository.START
        while position is not None and time.monotonic() < ends_at:
            async with self._database.transaction() as session:
                due = await redaction_repository.lock_postponed(session, realm, after=position, limit=_EVENTS_AT_ONCE)
                await self._redact(session, realm, due, done)
            position = due[-1].id if len(due) == _EVENTS_AT_ONCE else None
        more = True
        while more and time.monotonic() < ends_at:
            async with self._database.transaction() as session:
                due = await redaction_repository.lock_next(session, realm, before=before, limit=_EVENTS_AT_ONCE)
                await self._redact(session, realm, due, done)
                if due:
                    await redaction_repository.note_position(session, realm, position=due[-1].id)
            more = len(due) == _EVENTS_AT_ONCE

    async def _redact(self, session: AsyncSession, realm: Realm, due: Sequence[Due], done: Done) -> None:
        if due:
            count = await redaction_repository.redact(
                session, realm, due=due, payloads=[redacted_payload(item) for item in due]
            )
            done.events_redacted += count
            self._redacted.inc(count)

    async def _remove_small(self, *, now: datetime, ends_at: float) -> None:
        settings = self._settings
        history, rejected, firsts = (
            cutoff(now, days)
            for days in (settings.history_days, settings.rejected_event_days, settings.first_match_days)
        )
        async with self._database.transaction() as session:
            policies = await repository.find_policies(session)
            await redaction_repository.forget_gone(session, before=history)

        async def remove(step: Callable[[AsyncSession], Awaitable[int]]) -> None:
            count = _ROWS_AT_ONCE
            while count == _ROWS_AT_ONCE and time.monotonic() < ends_at:
                async with self._database.transaction() as session:
                    count = await step(session)

        await remove(lambda session: repository.delete_recoveries(session, before=history, limit=_ROWS_AT_ONCE))
        await remove(lambda session: repository.delete_first_matches(session, before=firsts, limit=_ROWS_AT_ONCE))
        await remove(
            lambda session: repository.delete_rejected(session, before=rejected, realm=None, limit=_ROWS_AT_ONCE)
        )
        for policy in policies:
            days = [days for days in (policy.retention_days, policy.redact_after_days) if days is not None]
            if days:
                own, realm = cutoff(now, min(days)), policy.realm
                await remove(
                    lambda session, own=own, realm=realm: repository.delete_rejected(  # type: ignore[misc]  # bound now
                        session, before=own, realm=realm, limit=_ROWS_AT_ONCE
                    )
                )


def redacted_payload(due: Due) -> bytes:
    """Return the marker that stands for a payload: what identifies the event stays, its data goes."""
    return make_payload(
        event_id=due.event_id,
        event_type=due.type,
        occurred_at=due.occurred_at,
        subject=due.subject,
        data=REDACTED_DATA,
        test=due.test,
    )
