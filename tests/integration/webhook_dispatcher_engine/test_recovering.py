"""Recoveries as destinations see them: by real workers, also ones that are killed, and without Valkey's memory."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import typeids
from support.engine import Dispatcher, event, running_engine, until, worker_process
from support.receiver import Hook

_FAIL_ALL = """
    WITH ended AS (
        DELETE FROM deliveries RETURNING id, webhook_id, event, tenant_id, environment
    ), noted AS (
        INSERT INTO attempts (delivery_id, number, id, started_at, outcome)
        SELECT id, 1, uuidv7(), now(), 'failed' FROM ended
    )
    INSERT INTO delivery_history (id, webhook_id, event, tenant_id, environment, status, attempts)
    SELECT id, webhook_id, event, tenant_id, environment, 'failed', 1 FROM ended
"""


async def _failed(dispatcher: Dispatcher, count: int) -> Hook:
    """Make a webhook with ``count`` events that failed for good, as a worker leaves them, and whose destination is well."""
    hook = await dispatcher.new_hook(retry_delays_seconds=[])
    await dispatcher.publish(*(event(number, id=f"e-{number:03}") for number in range(count)))
    await dispatcher.database.execute(_FAIL_ALL)
    return hook


async def _recover(dispatcher: Dispatcher, hook: Hook) -> str:
    body = {"from": (datetime.now(UTC) - timedelta(minutes=5)).isoformat()}
    started = await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/recover", body, status=202)
    return str(started["id"])


async def _shown(dispatcher: Dispatcher, recovery_id: str) -> dict[str, Any]:
    return await dispatcher.call("GET", f"/v1/recoveries/{recovery_id}")


async def _until_resent(dispatcher: Dispatcher, recovery_id: str, count: int) -> None:
    async def reached() -> bool:
        return bool((await _shown(dispatcher, recovery_id))["resent"] >= count)

    await until(reached, what=f"{count} sent again")


async def _until_completed(dispatcher: Dispatcher, recovery_id: str) -> dict[str, Any]:
    async def completed() -> bool:
        return bool((await _shown(dispatcher, recovery_id))["status"] == "completed")

    await until(completed, what="the recovery is complete")
    return await _shown(dispatcher, recovery_id)


def _all_ids(count: int) -> list[str]:
    return [f"e-{number:03}" for number in range(count)]


async def test_everything_that_failed_arrives_with_its_webhook_id(dispatcher: Dispatcher) -> None:
    """Once each, and what is new arrives in between."""
    hook = await _failed(dispatcher, 12)
    recovery_id = await _recover(dispatcher, hook)
    async with running_engine(dispatcher.settings):
        await dispatcher.publish(event(99, id="live"))
        assert (await _until_completed(dispatcher, recovery_id))["resent"] == 12
        await dispatcher.until_settled(events=13)
    assert sorted(hook.ids()) == [*_all_ids(12), "live"]
    assert hook.unverified == 0
    assert (await dispatcher.ledger())["delivered"] == 13


async def test_a_recovery_leaves_the_destination_its_pace(dispatcher: Dispatcher) -> None:
    """Ten a second for 30 deliveries take three steps: no two of them are less than a second apart."""
    hook = await _failed(dispatcher, 30)
    recovery_id = await _recover(dispatcher, hook)
    slow = dispatcher.settings.model_copy(update={"recovery_rate_per_second": 10})
    async with running_engine(slow):
        await _until_completed(dispatcher, recovery_id)
        await dispatcher.until_settled(events=30)
    times = sorted(item.at for item in hook.received)
    assert times[10] - times[0] >= 0.9
    assert times[20] - times[10] >= 0.9


async def test_a_killed_worker_s_recovery_is_taken_over(
    dispatcher: Dispatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With kill -9 in the middle: another worker goes on where it stood, and each delivery is taken back exactly once."""
    monkeypatch.setenv("CAUSEWAY_RECOVERY_RATE_PER_SECOND", "10")
    hook = await _failed(dispatcher, 50)
    recovery_id = await _recover(dispatcher, hook)
    async with worker_process(dispatcher.settings, tmp_path) as first:
        await _until_resent(dispatcher, recovery_id, 20)
        first.process.kill()
        await first.process.wait()
    stood_at = (await _shown(dispatcher, recovery_id))["resent"]
    assert stood_at < 50
    await dispatcher.queue.flushall()
    async with worker_process(dispatcher.settings, tmp_path):
        assert (await _until_completed(dispatcher, recovery_id))["resent"] == 50
        await dispatcher.until_settled(events=50)
    assert sorted(set(hook.ids())) == _all_ids(50)
    # What was in flight at the kill was sent twice, and says so; nothing else was.
    attempts = await dispatcher.database.fetch(
        "SELECT delivery_id, count(*) FILTER (WHERE outcome = 'delivered') AS delivered,"
        " count(*) FILTER (WHERE outcome = 'failed') AS failed FROM attempts GROUP BY delivery_id"
    )
    assert [(row["delivered"], row["failed"]) for row in attempts] == [(1, 1)] * 50
    unknown = await dispatcher.database.fetchval("SELECT count(*) FROM attempts WHERE outcome = 'unknown'")
    assert len(hook.received) <= 50 + unknown
    assert (await dispatcher.ledger())["delivered"] == 50


async def test_two_workers_share_a_recovery(dispatcher: Dispatcher) -> None:
    """Its steps are taken one at a time, by whichever worker comes first, and each delivery is taken back exactly once."""
    hook = await _failed(dispatcher, 30)
    quick = dispatcher.settings.model_copy(update={"recovery_rate_per_second": 10})
    recovery_id = await _recover(dispatcher, hook)
    async with running_engine(quick, name="one"), running_engine(quick, name="two"):
        assert (await _until_completed(dispatcher, recovery_id))["resent"] == 30
        await dispatcher.until_settled(events=30)
    assert sorted({*hook.ids()}) == _all_ids(30)
    # Where the machine stands still, an attempt may be unknown or too late, and arrive again; none is delivered twice.
    attempts = await dispatcher.database.fetch(
        "SELECT count(*) FILTER (WHERE outcome = 'delivered') AS delivered FROM attempts GROUP BY delivery_id"
    )
    assert [row["delivered"] for row in attempts] == [1] * 30


async def test_a_cancelled_recovery_stops_where_it_is(dispatcher: Dispatcher) -> None:
    """While a worker runs it: what was sent again arrives, the rest stays as it failed."""
    hook = await _failed(dispatcher, 60)
    slow = dispatcher.settings.model_copy(update={"recovery_rate_per_second": 5})
    recovery_id = await _recover(dispatcher, hook)
    async with running_engine(slow):
        await _until_resent(dispatcher, recovery_id, 10)
        cancelled = await dispatcher.call("DELETE", f"/v1/recoveries/{recovery_id}")
        # Long enough for two more looks of the runner.
        late = datetime.now(UTC) + timedelta(seconds=2.5)
        await until(lambda: dispatcher.database.fetchval("SELECT clock_timestamp() > $1", late), what="two looks")
        await dispatcher.until_settled(events=60)
        resent = cancelled["resent"]
        assert (cancelled["status"], len(hook.received)) == ("cancelled", resent)
    counts = await dispatcher.database.fetchval(
        "SELECT count(*) FROM delivery_history WHERE status = 'failed' AND webhook_id = $1",
        typeids.decode("wh", hook.webhook_id),
    )
    assert counts == 60 - resent
