"""A webhook's health is written by the owner of its lane alone, and not over what somebody has set meanwhile."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared import typeids
from shared.database import Database
from support.engine import Dispatcher
from webhook_dispatcher.lanes import health_repository
from webhook_dispatcher.lanes.breaker import Breaker
from webhook_dispatcher.lanes.health_repository import Change
from webhook_dispatcher.lanes.lane import lane_of
from webhook_dispatcher.lanes.leases import Leases


@pytest.fixture
async def database(dispatcher: Dispatcher) -> AsyncIterator[Database]:
    opened = Database.open(dispatcher.settings.database_url, application_name="health")
    yield opened
    await opened.aclose()


async def _write(dispatcher: Dispatcher, database: Database, **changed: Any) -> int:
    """Write that a webhook of our lane fails, with some fields changed; return how many were written."""
    leases = Leases(database, name="owner", lease_seconds=60)
    await leases.renew(busy=())
    hook = await dispatcher.new_hook()
    webhook_id = typeids.decode("wh", hook.webhook_id)
    row = await dispatcher.database.fetchrow(
        "SELECT enabled_at, fence FROM webhooks, lanes WHERE id = $1 AND lanes.lane = $2",
        webhook_id,
        lane_of(webhook_id),
    )
    now = datetime.now(UTC)
    change = Change(
        webhook_id=webhook_id,
        fence=row["fence"],
        enabled_at=row["enabled_at"],
        breaker=Breaker(failures=10, failing_since=now, opened_at=now),
        at=now,
        last_status=500,
        last_error=None,
    )
    worker_id = changed.pop("worker_id", leases.worker_id)
    async with database.transaction() as session:
        saved = await health_repository.save(session, worker_id=worker_id, changes=[replace(change, **changed)])
    state = "SELECT breaker_opened_at IS NOT NULL FROM webhooks WHERE id = $1"
    assert await dispatcher.database.fetchval(state, webhook_id) == bool(saved)
    return len(saved)


async def test_the_owner_writes(dispatcher: Dispatcher, database: Database) -> None:
    """With the lane's fence, and the webhook as it was when the attempt was made."""
    assert await _write(dispatcher, database) == 1


@pytest.mark.parametrize("earlier", [{"worker_id": typeids.new_id()}, {"fence": 0}])
async def test_an_owner_of_before_writes_nothing(
    dispatcher: Dispatcher, database: Database, earlier: dict[str, Any]
) -> None:
    """Neither another worker, nor the same one with an attempt of an earlier time of its own."""
    assert await _write(dispatcher, database, **earlier) == 0


@pytest.mark.parametrize("enabled_at", [datetime.now(UTC), datetime.now(UTC) - timedelta(days=1)])
async def test_what_failed_before_it_was_enabled_again_counts_for_nothing(
    dispatcher: Dispatcher, database: Database, enabled_at: datetime
) -> None:
    """Somebody has mended it since."""
    assert await _write(dispatcher, database, enabled_at=enabled_at) == 0
