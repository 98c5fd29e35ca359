"""Rules of statistics: the window, and what the figures mean."""

import re
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm
from shared.problems import NotFound
from webhook_dispatcher.statistics import repository
from webhook_dispatcher.statistics.repository import ENDED_MAX, OUTSTANDING_MAX, Ended, State
from webhook_dispatcher.statistics.schemas import WINDOW_PATTERN, CountsOut, LatencyOut, StatsOut, WindowOut
from webhook_dispatcher.webhooks.health import health_of

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SECONDS_MAX = 3_650 * 86_400


def window_of(text: str) -> timedelta:
    """Return a window written as ``15m``, ``24h`` or ``7d``; a number alone is seconds. No history is longer than ten years."""
    found = re.fullmatch(WINDOW_PATTERN, text)
    assert found is not None
    return timedelta(seconds=min(_SECONDS_MAX, int(found["number"]) * _UNITS[found["unit"] or "s"]))


async def stats_of(
    session: AsyncSession, realm: Realm, webhook_id: UUID, *, window: timedelta, now: datetime
) -> StatsOut:
    """Return how a webhook's deliveries of the window went, and what waits for it now; raises NotFound."""
    state = await repository.find_state(session, realm=realm, webhook_id=webhook_id)
    if state is None:
        raise NotFound
    ended = await repository.count_ended(session, webhook_id=webhook_id, since=now - window)
    return told(webhook_id, state, ended, since=now - window, now=now)


def told(webhook_id: UUID, state: State, ended: Ended, *, since: datetime, now: datetime) -> StatsOut:
    """Return the figures as they are told.

    Where more has ended than is looked at, the window begins with the oldest that was: so rates and latencies are always those of
    the whole window that is named.
    """
    health = health_of(
        status=state.status, breaker_opened_at=state.breaker_opened_at, failing_since=state.failing_since
    )
    is_complete = ended.looked_at < ENDED_MAX or ended.first is None
    starts_at = since if is_complete or ended.first is None else max(since, typeids.created_at(ended.first))
    decided = ended.delivered + ended.failed
    held = health in ("open", "disabled")
    oldest_at = typeids.created_at(state.oldest) if state.oldest else None
    p50, p95, p99 = ended.latencies_ms or (None, None, None)
    return StatsOut(
        webhook_id=webhook_id,
        health=health,
        window=WindowOut(from_=starts_at, to=now, complete=is_complete),
        counts=CountsOut(
            delivered=ended.delivered,
            failed=ended.failed,
            cancelled=ended.cancelled,
            pending=0 if held else state.pending,
            held=state.pending if held else 0,
            in_flight=state.in_flight,
            attempts=ended.attempts,
            attempts_delivered=ended.attempts_delivered,
            waiting_is_minimum=state.pending == OUTSTANDING_MAX,
        ),
        success_rate=ended.delivered / decided if decided else None,
        latency_ms=LatencyOut(p50=p50, p95=p95, p99=p99),
        oldest_pending_at=oldest_at,
        oldest_pending_seconds=max(0.0, (now - oldest_at).total_seconds()) if oldest_at else None,
    )
