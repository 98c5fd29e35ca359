"""What happens to a webhook is reported as an event of its realm: once, with the change itself, and without an end to none."""

import json
from typing import Any

import pytest

from support.engine import Dispatcher, event, running_engine, until
from support.receiver import Answer, Hook
from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.settings import Settings

_FAILS = Answer(status=500)


def _settings(dispatcher: Dispatcher, **fields: Any) -> Settings:
    return dispatcher.settings.model_copy(update={"breaker_probe_seconds": 1, "breaker_probe_seconds_max": 1, **fields})


async def _reports(dispatcher: Dispatcher) -> list[tuple[str, str]]:
    """Return type and subject of each report, in order."""
    rows = await dispatcher.database.fetch(
        "SELECT type, subject FROM events WHERE starts_with(type, 'webhook.') ORDER BY id"
    )
    return [(row["type"], row["subject"]) for row in rows]


async def _holds(dispatcher: Dispatcher, count: int) -> bool:
    return bool((await dispatcher.ledger())["held"] == count)


async def _has_reports(dispatcher: Dispatcher, count: int) -> bool:
    return len(await _reports(dispatcher)) >= count


def _bodies(hook: Hook) -> list[dict[str, Any]]:
    return [json.loads(item.body) for item in hook.received]


async def test_failing_and_recovered_are_told_to_others(dispatcher: Dispatcher) -> None:
    """One event and one audit entry when the breaker opens, one when it closes, each as its type's example and schema promise."""
    failing = await dispatcher.new_hook(max_in_flight=1, retry_delays_seconds=[3600], events=["*"])
    watcher = await dispatcher.new_hook(events=["webhook.*"])
    failing.otherwise = _FAILS
    async with running_engine(_settings(dispatcher)):
        await dispatcher.publish(*(event(number) for number in range(20)))
        await watcher.until_received(1)
        failing.otherwise = Answer()
        await watcher.until_received(2)
        await dispatcher.until_status((await dispatcher.publish(event(100)))[0], "delivered")
    entries = await dispatcher.database.fetch(
        "SELECT action, actor, target, changes FROM audit_entries WHERE actor = 'system' ORDER BY id"
    )
    assert [(entry["action"], entry["target"]) for entry in entries] == [
        ("webhook.failing", failing.webhook_id),
        ("webhook.recovered", failing.webhook_id),
    ]
    assert json.loads(entries[0]["changes"])["consecutive_failures"] == 10
    told, let_go = _bodies(watcher)
    assert [told["type"], let_go["type"]] == ["webhook.failing", "webhook.recovered"]
    assert told["subject"] == let_go["subject"] == told["data"]["webhook_id"] == failing.webhook_id
    assert (told["data"]["consecutive_failures"], told["data"]["last_status"]) == (10, 500)
    assert told["data"]["last_error"] == "http_500"
    # Ten failed once and wait for their retry; of the other ten one was the probe, and the next ones may be on their way.
    assert 10 <= let_go["data"]["waiting"] <= 19
    for body in (told, let_go):
        kind = catalogue.find(body["type"])
        assert kind is not None
        assert body["data"].keys() == kind.example.keys() <= kind.json_schema["properties"].keys()
    assert all(not body["type"].startswith("webhook.") for body in _bodies(failing)), "nobody is told about itself"


async def test_two_that_fail_and_watch_one_another_do_not_storm(dispatcher: Dispatcher) -> None:
    """Both select everything, both fail, also in what they are told of the other: two reports, however long it goes on."""
    hooks = [await dispatcher.new_hook(retry_delays_seconds=[1] * 20, events=["*"]) for _ in range(2)]
    for hook in hooks:
        hook.otherwise = _FAILS
    async with running_engine(_settings(dispatcher)):
        await dispatcher.publish(*(event(number) for number in range(20)))
        await until(lambda: _has_reports(dispatcher, 2), what="both are reported")
        before = [len(hook.received) for hook in hooks]
        # Six more probes of each, of which some carry the report about the other.
        for hook, count in zip(hooks, before, strict=True):
            await hook.until_received(count + 6)
        reports = await _reports(dispatcher)
        assert {kind for kind, _ in reports} == {"webhook.failing"}
        assert sorted(subject for _, subject in reports) == sorted(hook.webhook_id for hook in hooks)


async def test_failed_reports_open_no_breaker(dispatcher: Dispatcher) -> None:
    """A destination that is sent reports alone, and fails, is retried by its schedule, and never reported itself."""
    watcher = await dispatcher.new_hook(events=["webhook.*"], retry_delays_seconds=[])
    watcher.otherwise = _FAILS
    others = [await dispatcher.new_hook(events=["kyc.*"]) for _ in range(12)]
    async with running_engine(_settings(dispatcher)):
        for other in others:
            await dispatcher.call("POST", f"/v1/webhooks/{other.webhook_id}/disable")
        await watcher.until_received(12)
        await dispatcher.until_settled(events=0)
    reports = await _reports(dispatcher)
    assert reports == [("webhook.disabled", other.webhook_id) for other in others]
    states = await dispatcher.database.fetch("SELECT failures_in_a_row, breaker_opened_at FROM webhooks")
    assert {tuple(row) for row in states} == {(0, None)}


@pytest.mark.parametrize("reason", ["gone", "requested", "failing"])
async def test_each_disabling_is_told_once(dispatcher: Dispatcher, reason: str) -> None:
    """By request, for 410, and after days without a success: one event, one audit entry, and what is owed is held."""
    hook = await dispatcher.new_hook(max_in_flight=1, retry_delays_seconds=[3600])
    watcher = await dispatcher.new_hook(events=["webhook.disabled"])
    hook.otherwise = Answer(status=410) if reason == "gone" else _FAILS
    # Days of the run of failures are shortened to the blink of an eye: the first probe that fails ends them.
    async with running_engine(_settings(dispatcher, disable_after_days=0.000_001)):
        await dispatcher.publish(*(event(number) for number in range(15)))
        if reason == "requested":
            await hook.until_received(1)
            await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/disable")
        [told] = await watcher.until_received(1)
        body = json.loads(told.body)
        assert (body["data"]["webhook_id"], body["data"]["reason"]) == (hook.webhook_id, reason)
        await until(lambda: _holds(dispatcher, 15), what="all that is owed is held")
    webhook = await dispatcher.call("GET", f"/v1/webhooks/{hook.webhook_id}")
    shown = {
        "gone": "the destination answered 410 Gone",
        "requested": "by request",
        "failing": "no success for 1e-06 days",
    }
    assert (webhook["enabled"], webhook["disabled_reason"]) == (False, shown[reason])
    entries = await dispatcher.database.fetch(
        "SELECT actor, target FROM audit_entries WHERE action = 'webhook.disabled'"
    )
    actor = "key_test" if reason == "requested" else "system"
    assert [(row["actor"], row["target"]) for row in entries] == [(actor, hook.webhook_id)]
    assert [kind for kind, _ in await _reports(dispatcher)].count("webhook.disabled") == 1
    failed = [row["failures"] for row in await dispatcher.database.fetch("SELECT failures FROM deliveries")]
    assert sum(failed) <= 10


async def test_a_report_is_there_with_its_change_or_not_at_all(dispatcher: Dispatcher) -> None:
    """While events cannot be written no breaker opens in the database; once they can, both are there, once."""
    hook = await dispatcher.new_hook(max_in_flight=1, retry_delays_seconds=[3600])
    hook.otherwise = _FAILS
    async with running_engine(_settings(dispatcher, breaker_probe_seconds=600, breaker_probe_seconds_max=600)):
        await dispatcher.database.execute(
            "ALTER TABLE events ADD CONSTRAINT no_reports CHECK (NOT starts_with(type, 'webhook.'))"
        )
        await dispatcher.publish(*(event(number) for number in range(12)))
        await hook.until_received(10)
        opened = "SELECT count(*) FROM webhooks WHERE breaker_opened_at IS NOT NULL"
        assert await dispatcher.database.fetchval(opened) == 0
        await dispatcher.database.execute("ALTER TABLE events DROP CONSTRAINT no_reports")
        await until(lambda: dispatcher.database.fetchval(opened), what="the breaker is written")
    assert [kind for kind, _ in await _reports(dispatcher)] == ["webhook.failing"]
