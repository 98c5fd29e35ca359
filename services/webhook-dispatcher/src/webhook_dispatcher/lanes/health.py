"""The health of the webhooks a worker serves: judged at each outcome, in memory at once, and written down where it lasts.

A change of the breaker is written in one transaction with the event that reports it. A worker that dies before loses both, and
the next owner of the lane counts anew: nobody was told of what did not last.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.database import Database
from webhook_dispatcher.audit import repository as audit
from webhook_dispatcher.deliveries.target import Target
from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.events import operational
from webhook_dispatcher.events.service import RealmKeepsChangingError
from webhook_dispatcher.lanes import health_repository as repository
from webhook_dispatcher.lanes.breaker import HEALTHY, BreakerPolicy, Result, after, should_disable
from webhook_dispatcher.lanes.destinations import Destination, Destinations
from webhook_dispatcher.lanes.health_metrics import HealthMetrics
from webhook_dispatcher.lanes.health_repository import Change, Remembered, Saved
from webhook_dispatcher.lanes.repository import Record

log = structlog.get_logger()

_COLLECT_SECONDS = 0.005
_BACKOFF_SECONDS = (0.05, 0.25, 1.0)
_GONE = "the destination answered 410 Gone"


class HealthKeeper:
    """One per worker. ``now``: the database's time; ``published`` is told the webhooks that have work by events about others."""

    def __init__(
        self,
        *,
        database: Database,
        worker_id: UUID,
        destinations: Destinations,
        policy: BreakerPolicy,
        metrics: HealthMetrics,
        now: Callable[[], datetime],
        published: Callable[[Sequence[UUID]], None],
    ) -> None:
        self._database = database
        self._worker_id = worker_id
        self._destinations = destinations
        self._policy = policy
        self._metrics = metrics
        self._now = now
        self._published = published
        self._unsaved: dict[UUID, Change] = {}
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def judge(self, record: Record, target: Target, *, probe: bool) -> bool:
        """Take in what an attempt says of its webhook; returns whether what was held may go now."""
        destination = self._destinations.get(record.claimed.webhook_id)
        result = _result_of(record)
        if result == "delivered" and destination.breaker.failures == 0:
            return False
        before, now = destination.breaker, self._now()
        counts = catalogue.function_of(record.claimed.event_type) != operational.FUNCTION
        breaker = after(result, before, now=now, policy=self._policy, probe=probe, counts=counts)
        if breaker is before:
            return False
        destination.breaker = breaker
        closed = before.is_open and not breaker.is_open
        if closed:
            self._destinations.let_go(destination, at=now)
        if breaker.is_lasting(now) or destination.health_written:
            self._note(destination, record, target, now=now)
        return closed

    def remember(self, webhooks: Iterable[Remembered], *, lanes: frozenset[int]) -> None:
        """Take over what earlier owners of these lanes wrote down."""
        self._destinations.forget_health(lanes=lanes)
        for item in webhooks:
            destination = self._destinations.get(item.webhook_id)
            destination.enabled_at = item.enabled_at
            destination.breaker = item.breaker
            destination.health_written = True

    async def disable_gone(self, urls: Mapping[UUID, str]) -> None:
        """Disable webhooks whose destination, at the URL that they still have, said that it is gone for good.

        Raises what the database raises.
        """
        async with self._database.transaction() as session:
            woken = await self._disable(session, list(urls), reason="gone", urls=list(urls.values()))
        self._published(woken)

    async def drain(self) -> None:
        """Wait until all is written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled; tries again while the database is away."""
        failures = 0
        while True:
            await self._arrived.wait()
            await asyncio.sleep(_COLLECT_SECONDS)
            self._arrived.clear()
            changes = list(self._unsaved.values())
            try:
                if changes:
                    await self._save(changes)
                failures = 0
            except (SQLAlchemyError, OSError, RealmKeepsChangingError) as exc:
                log.warning("health.waiting", webhooks=len(changes), reason=type(exc).__name__)
                await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
                failures += 1
                self._arrived.set()
            if not self._unsaved:
                self._idle.set()

    def _note(self, destination: Destination, record: Record, target: Target, *, now: datetime) -> None:
        destination.health_written = destination.breaker.failures > 0
        destination.health_unsaved = True
        self._unsaved[destination.webhook_id] = Change(
            webhook_id=destination.webhook_id,
            fence=record.claimed.fence,
            enabled_at=target.enabled_at,
            breaker=destination.breaker,
            at=now,
            last_status=record.response_status,
            last_error=record.error_code,
            disable=should_disable(destination.breaker, now=now, policy=self._policy),
        )
        self._idle.clear()
        self._arrived.set()

    async def _save(self, changes: Sequence[Change]) -> None:
        by_id = {item.webhook_id: item for item in changes}
        async with self._database.transaction() as session:
            saved = await repository.save(session, worker_id=self._worker_id, changes=changes)
            reports = [report for item in saved if (report := _report_of(item, by_id[item.about.webhook_id]))]
            for report in reports:
                await self._record(session, report)
            woken = [*await operational.publish(session, reports)]
            failing = [item.about.webhook_id for item in saved if by_id[item.about.webhook_id].disable]
            woken += await self._disable(session, failing, reason="failing")
        for report in reports:
            self._metrics.changes.labels(report.kind).inc()
            webhook_id = typeids.encode("wh", report.about.webhook_id)
            log.info("webhook.health_changed", change=report.kind, webhook_id=webhook_id, **report.data)
        for change in changes:
            self._settle(change)
        self._published(woken)

    def _settle(self, change: Change) -> None:
        """Note that a change is written, or was not ours to write any more; a newer one of the webhook goes on waiting."""
        destination = self._destinations.get(change.webhook_id)
        if self._unsaved.get(change.webhook_id) is change:
            del self._unsaved[change.webhook_id]
            destination.health_unsaved = False
        destination.health_saved_at = time.monotonic()
        if change.disable:
            destination.breaker, destination.health_written = HEALTHY, False

    async def _disable(
        self,
        session: AsyncSession,
        webhooks: Sequence[UUID],
        *,
        reason: Literal["gone", "failing"],
        urls: Sequence[str] | None = None,
    ) -> Sequence[UUID]:
        """Disable, with an audit entry and an event for each that was enabled; returns the webhooks to wake."""
        if not webhooks:
            return ()
        now, shown = self._now(), _GONE if reason == "gone" else self._shown_failing()
        disabled = await repository.disable(session, webhooks=webhooks, reason=shown, at=now, urls=urls)
        for item in disabled:
            target = typeids.encode("wh", item.webhook_id)
            await audit.record_own(
                session, item.realm, action="webhook.disabled", target=target, changes={"reason": shown}
            )
            self._metrics.changes.labels("disabled").inc()
            log.warning("webhook.disabled", webhook_id=target, reason=reason)
        return await operational.publish(
            session, [operational.disabled(item, at=now, reason=reason) for item in disabled]
        )

    async def _record(self, session: AsyncSession, report: operational.Report) -> None:
        """Write the audit entry of a breaker that has opened or closed."""
        target = typeids.encode("wh", report.about.webhook_id)
        action = f"webhook.{report.kind}"
        await audit.record_own(session, report.about.realm, action=action, target=target, changes=report.data)

    def _shown_failing(self) -> str:
        days = self._policy.disable_after.total_seconds() / 86_400 if self._policy.disable_after else 0
        return f"no success for {days:g} days"


def _result_of(record: Record) -> Result:
    if record.own_fault:
        return "own_fault"
    return "delivered" if record.outcome == "delivered" else "failed"


def _report_of(saved: Saved, change: Change) -> operational.Report | None:
    """Return the report of a breaker that has opened or closed."""
    if change.breaker.is_open and not saved.was_open:
        assert change.breaker.failing_since is not None
        return operational.failing(
            saved.about,
            at=change.at,
            failing_since=change.breaker.failing_since,
            failures=change.breaker.failures,
            last_status=change.last_status,
            last_error=change.last_error,
        )
    if saved.was_open and not change.breaker.is_open:
        return operational.recovered(saved.about, at=change.at, waiting=saved.waiting)
    return None
