"""A destination that fails again and again is left in peace: what it is owed is held, probed, and let go when it answers."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from support.engine import Dispatcher, event, running_engine, until, worker_process
from support.receiver import Answer, Hook
from support.stack import movable_clock_environment
from webhook_dispatcher.settings import Settings

_FAILS = Answer(status=500)


def _settings(dispatcher: Dispatcher, **fields: Any) -> Settings:
    return dispatcher.settings.model_copy(update={"breaker_probe_seconds": 1, "breaker_probe_seconds_max": 2, **fields})


async def _health(dispatcher: Dispatcher) -> dict[str, Any]:
    row = await dispatcher.database.fetchrow(
        "SELECT status, failing_since, failures_in_a_row, breaker_opened_at, probe_at, probe_delay_seconds, recovered_at,"
        " disabled_reason FROM webhooks ORDER BY id LIMIT 1"
    )
    return dict(row)


async def _is_open(dispatcher: Dispatcher) -> bool:
    return (await _health(dispatcher))["breaker_opened_at"] is not None


async def _open(dispatcher: Dispatcher, hook: Hook, *, number: int = 0) -> None:
    """Let ten deliveries fail, one after the other."""
    hook.otherwise = _FAILS
    await dispatcher.publish(*(event(number + item) for item in range(30)))
    await until(lambda: _is_open(dispatcher), what="the breaker opens")


async def _reports(dispatcher: Dispatcher) -> list[str]:
    rows = await dispatcher.database.fetch("SELECT type FROM events WHERE starts_with(type, 'webhook.') ORDER BY id")
    return [row["type"] for row in rows]


async def test_ten_failures_hold_the_rest_and_use_up_nothing(dispatcher: Dispatcher) -> None:
    """After ten failures in a row nothing is sent but probes; all shows as held, and no delivery has failed for a probe."""
    hook = await dispatcher.new_hook(max_in_flight=1, retry_delays_seconds=[3600])
    async with running_engine(_settings(dispatcher)):
        await _open(dispatcher, hook)
        assert len(hook.received) == 10
        ledger = await dispatcher.ledger()
        assert (ledger["held"], ledger["pending"]) == (30, 0)
        assert {row["status"] for row in await dispatcher.deliveries()} == {"held"}
        assert len(await dispatcher.deliveries(status="held")) == 30
        received = await hook.until_received(12)
        # The waits are 1 s, then 2 s; the look of each second finds a probe that is due.
        assert 0.9 <= received[10].at - received[9].at <= 4
        assert 1.8 <= received[11].at - received[10].at <= 5
        assert hook.in_flight_max == 1
        assert len({item.webhook_id for item in received}) == 12, "each probe took another delivery"
        health = await _health(dispatcher)
        assert health["probe_delay_seconds"] == 2
        used = await dispatcher.database.fetch("SELECT attempts, failures FROM deliveries WHERE attempts > 0")
        assert sorted(row["failures"] for row in used)[-10:] == [1] * 10
        assert sum(row["failures"] for row in used) == 10
        await dispatcher.ledger()


async def test_a_probe_that_succeeds_lets_all_go_at_a_ramp(dispatcher: Dispatcher) -> None:
    """The first success closes the breaker; what was held is sent one at a time at first, and all of it arrives."""
    hook = await dispatcher.new_hook(max_in_flight=20, retry_delays_seconds=[1, 1, 1])
    async with running_engine(_settings(dispatcher, breaker_probe_seconds=2)):
        await _open(dispatcher, hook)
        before = len(hook.received)
        hook.in_flight_max = 0
        hook.otherwise = Answer(delay_seconds=0.005)
        await dispatcher.publish(*(event(100 + item) for item in range(40)))
        await dispatcher.until_settled(events=70, seconds=30)
        assert hook.in_flight_max == 1
        assert len(hook.received) - before == 70
        health = await _health(dispatcher)
        assert (health["failing_since"], health["failures_in_a_row"], health["probe_at"]) == (None, 0, None)
        assert health["recovered_at"] is not None
    ledger = await dispatcher.ledger()
    assert (ledger["delivered"], ledger["held"]) == (70, 0)


async def test_another_worker_goes_on_with_an_open_breaker(dispatcher: Dispatcher) -> None:
    """After a takeover nothing is sent before the probe's time, and one probe when it has come."""
    hook = await dispatcher.new_hook(max_in_flight=1, retry_delays_seconds=[3600])
    async with running_engine(_settings(dispatcher, breaker_probe_seconds=4, breaker_probe_seconds_max=600)):
        await _open(dispatcher, hook)
    async with running_engine(_settings(dispatcher, breaker_probe_seconds=4, breaker_probe_seconds_max=600)) as engine:
        await until(lambda: _is_owner(dispatcher), what="the lanes are taken")
        await dispatcher.publish(*(event(100 + item) for item in range(20)))
        received = await hook.until_received(11)
        assert received[10].at - received[9].at >= 3.5
        await until(lambda: _probe_seconds_are(dispatcher, 8), what="the failed probe is written")
        assert len(hook.received) == 11
        assert not engine._pump._selection._hinted
    assert (await _reports(dispatcher)) == ["webhook.failing"]


async def _is_owner(dispatcher: Dispatcher) -> bool:
    return sum((await dispatcher.lanes()).values()) == 64


async def _probe_seconds_are(dispatcher: Dispatcher, seconds: int) -> bool:
    return bool((await _health(dispatcher))["probe_delay_seconds"] == seconds)


async def test_new_events_of_an_open_breaker_cost_no_claim(dispatcher: Dispatcher) -> None:
    """What is published meanwhile wakes the pump to no question of the database."""
    hook = await dispatcher.new_hook(max_in_flight=1, retry_delays_seconds=[3600])
    async with running_engine(
        _settings(dispatcher, breaker_probe_seconds=600, breaker_probe_seconds_max=600)
    ) as engine:
        await _open(dispatcher, hook)
        await dispatcher.publish(event(100))
        engine._pump.wake(engine._health._destinations._known)
        assert not engine._pump._selection.has_work()
        assert len(hook.received) == 10


@pytest.mark.parametrize("act", ["enable", "patch", "resend", "test"])
async def test_who_acts_is_not_made_to_wait(dispatcher: Dispatcher, act: str) -> None:
    """Enabling, changing, resending and testing let the next probe be due now."""
    hook = await dispatcher.new_hook(max_in_flight=1, retry_delays_seconds=[3600])
    async with running_engine(_settings(dispatcher, breaker_probe_seconds=600, breaker_probe_seconds_max=600)):
        await _open(dispatcher, hook)
        hook.otherwise = Answer()
        path = f"/v1/webhooks/{hook.webhook_id}"
        if act == "enable":
            await dispatcher.call("POST", f"{path}/enable")
        elif act == "patch":
            await dispatcher.call("PATCH", path, {"name": "mended"})
        elif act == "resend":
            delivery = (await dispatcher.deliveries())[0]
            await dispatcher.call("POST", f"/v1/deliveries/{delivery['id']}/resend", status=202)
        else:
            await dispatcher.call("POST", f"{path}/test", {"event_type": "kyc.rejected"}, status=202)
        await hook.until_received(11)
        await until(lambda: _is_closed(dispatcher), what="the breaker closes")


async def _is_closed(dispatcher: Dispatcher) -> bool:
    return not await _is_open(dispatcher)


async def test_enabling_begins_anew(dispatcher: Dispatcher) -> None:
    """A webhook disabled with its breaker open has no failures once it is enabled, in the database and in the worker."""
    hook = await dispatcher.new_hook(max_in_flight=1, retry_delays_seconds=[])
    path = f"/v1/webhooks/{hook.webhook_id}"
    async with running_engine(_settings(dispatcher, breaker_probe_seconds=600, breaker_probe_seconds_max=600)):
        await _open(dispatcher, hook)
        await dispatcher.call("POST", f"{path}/disable")
        await dispatcher.call("POST", f"{path}/enable", {"pending": "deliver"})
        health = await _health(dispatcher)
        assert (health["breaker_opened_at"], health["failures_in_a_row"]) == (None, 0)
        hook.otherwise = Answer()
        await dispatcher.until_settled(events=30)
        assert len(hook.received) == 30


async def test_when_failures_began_is_told_by_the_database(
    dispatcher: Dispatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose clock is ten minutes ahead writes the same times as any other."""
    clock = tmp_path / "clock"
    clock.write_text("600")
    for name, value in movable_clock_environment(clock).items():
        monkeypatch.setenv(name, value)
    hook = await dispatcher.new_hook(max_in_flight=1, retry_delays_seconds=[3600])
    began_at = await dispatcher.database.fetchval("SELECT clock_timestamp()")
    async with worker_process(dispatcher.settings, tmp_path):
        await _open(dispatcher, hook)
    health = await _health(dispatcher)
    ended_at = await dispatcher.database.fetchval("SELECT clock_timestamp()")
    slack = timedelta(seconds=5)
    assert began_at - slack <= health["failing_since"] <= health["breaker_opened_at"] <= ended_at + slack
