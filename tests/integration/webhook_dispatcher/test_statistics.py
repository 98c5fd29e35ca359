"""Statistics of a webhook: counts, rates, latencies, health, what waits."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared import typeids
from support.dispatcher_service import DispatcherService, Tenant, payment


async def _stats(tenant: Tenant, webhook_id: str, **query: str) -> dict[str, Any]:
    answer = await tenant.owner.get(f"/v1/webhooks/{webhook_id}/stats", params=query)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_webhook_without_deliveries_has_no_rates(tenant: Tenant) -> None:
    """Zeros where something is counted, null where nothing can be said."""
    webhook = await tenant.new_webhook()
    told = await _stats(tenant, webhook["id"])
    assert (told["webhook_id"], told["health"], told["success_rate"]) == (webhook["id"], "healthy", None)
    assert told["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert set(told["counts"].values()) == {0}
    assert (told["oldest_pending_at"], told["oldest_pending_seconds"], told["window"]["complete"]) == (None, None, True)
    span = datetime.fromisoformat(told["window"]["to"]) - datetime.fromisoformat(told["window"]["from"])
    assert span == timedelta(days=1)


async def test_what_ended_and_what_waits_are_counted(tenant: Tenant, service: DispatcherService) -> None:
    """By how it ended; the rate is of what succeeded or failed; latencies are those of the attempts."""
    webhook = await tenant.new_webhook()
    await tenant.publish(*(payment(number) for number in range(7)))
    made = [item["id"] for item in await tenant.deliveries(webhook_id=webhook["id"])][::-1]
    for delivery_id in made[:3]:
        await service.finish(delivery_id, status="delivered")
    await service.finish(made[3], status="failed", response_status=500)
    await tenant.owner.post(f"/v1/deliveries/{made[4]}/cancel")
    await service.put_in_flight(made[5])
    told = await _stats(tenant, webhook["id"], window="1h")
    assert told["counts"] == {
        "delivered": 3,
        "failed": 1,
        "cancelled": 1,
        "pending": 1,
        "held": 0,
        "in_flight": 1,
        "waiting_is_minimum": False,
        "attempts": 4,
        "attempts_delivered": 3,
    }
    assert told["success_rate"] == 0.75
    assert told["latency_ms"] == {"p50": 12.5, "p95": 12.5, "p99": 12.5}
    oldest = datetime.fromisoformat(told["oldest_pending_at"])
    assert oldest == typeids.created_at(typeids.decode("dlv", made[5]))
    assert 0 <= told["oldest_pending_seconds"] < 60


async def test_latencies_are_percentiles(tenant: Tenant, service: DispatcherService) -> None:
    """Of all attempts of the window, also of deliveries that wait for a retry."""
    webhook = await tenant.new_webhook()
    await tenant.publish(payment(1), payment(2))
    waiting, ended = await tenant.deliveries(webhook_id=webhook["id"])
    await service.finish(ended["id"], status="delivered")
    insert = """
        INSERT INTO attempts (delivery_id, number, id, started_at, duration_ms, outcome, url)
        SELECT :id, n + 10, uuidv7(), now(), n, 'failed', 'x' FROM generate_series(1, 99) n
    """
    await service.rows(insert, id=typeids.decode("dlv", waiting["id"]))
    assert (await _stats(tenant, webhook["id"]))["counts"]["attempts"] == 1
    await service.rows("UPDATE deliveries SET failures = 1 WHERE id = :id", id=typeids.decode("dlv", waiting["id"]))
    told = await _stats(tenant, webhook["id"])
    assert (told["counts"]["attempts"], told["counts"]["attempts_delivered"]) == (100, 1)
    latency = told["latency_ms"]
    assert (round(latency["p50"]), round(latency["p95"]), round(latency["p99"])) == (50, 94, 98)


async def test_health_is_told(tenant: Tenant, service: DispatcherService) -> None:
    """As the worker that owns the webhook wrote it down; what waits is held while the webhook gets nothing."""
    webhook = await tenant.new_webhook()
    await tenant.publish(payment(1))
    row_id = typeids.decode("wh", webhook["id"])

    async def becomes(change: str) -> tuple[str, int, int]:
        await service.rows(f"UPDATE webhooks SET {change} WHERE id = :id", id=row_id)  # noqa: S608 - constants
        told = await _stats(tenant, webhook["id"])
        return told["health"], told["counts"]["pending"], told["counts"]["held"]

    assert await becomes("failing_since = now()") == ("failing", 1, 0)
    assert await becomes("breaker_opened_at = now(), probe_at = now()") == ("open", 0, 1)
    assert await becomes("status = 'disabled'") == ("disabled", 0, 1)


@pytest.mark.parametrize(
    ("window", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("9999999d", None)]
)
async def test_windows(tenant: Tenant, window: str, seconds: int | None) -> None:
    """Seconds, or a number with its unit; never longer than ten years."""
    webhook = await tenant.new_webhook()
    told = (await _stats(tenant, webhook["id"], window=window))["window"]
    span = datetime.fromisoformat(told["to"]) - datetime.fromisoformat(told["from"])
    assert span == timedelta(seconds=seconds or 3_650 * 86_400)


@pytest.mark.parametrize("window", ["", "0", "-1h", "1w", "h", "1.5h", "12345678", "24h\n"])
async def test_other_windows_are_refused(tenant: Tenant, window: str) -> None:
    """422 that names the parameter."""
    webhook = await tenant.new_webhook()
    answer = await tenant.owner.get(f"/v1/webhooks/{webhook['id']}/stats", params={"window": window})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "query/window")


async def test_the_window_is_by_when_deliveries_were_made(tenant: Tenant, service: DispatcherService) -> None:
    """What is older does not count; what waits does, whenever it was made."""
    webhook = await tenant.new_webhook()
    await tenant.publish(payment(1))
    (delivery,) = await tenant.deliveries(webhook_id=webhook["id"])
    await service.finish(delivery["id"], status="delivered")
    old = typeids.lower_bound(datetime.now(UTC) - timedelta(hours=2))
    await service.rows(
        "UPDATE delivery_history SET id = :old WHERE id = :id", old=old, id=typeids.decode("dlv", delivery["id"])
    )
    assert (await _stats(tenant, webhook["id"], window="3h"))["counts"]["delivered"] == 1
    assert (await _stats(tenant, webhook["id"], window="1h"))["counts"]["delivered"] == 0
