"""The conservation ledger: what accepted events owe, and what became of it, always balances."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared import typeids
from support.dispatcher_service import DispatcherService, Tenant, payment

EMPTY = {
    "accepted": 0,
    "matched": 0,
    "delivered": 0,
    "pending": 0,
    "held": 0,
    "failed": 0,
    "cancelled": 0,
    "in_flight": 0,
}


async def _in_every_state(tenant: Tenant, service: DispatcherService) -> dict[str, dict[str, Any]]:
    """Bring deliveries of three webhooks into all states; returns the webhooks."""
    webhooks = {name: await tenant.new_webhook(name=name, events=["payment.*"]) for name in ("a", "b", "deleted")}
    await tenant.publish(*(payment(number) for number in range(8)))
    mine = [item["id"] for item in await tenant.deliveries(webhook_id=webhooks["a"]["id"])]
    await service.finish(mine[0], status="delivered")
    await service.finish(mine[1], status="delivered")
    await service.finish(mine[2], status="failed", response_status=500)
    await tenant.owner.post(f"/v1/deliveries/{mine[3]}/cancel")
    await service.put_in_flight(mine[4])
    await tenant.owner.post(f"/v1/webhooks/{webhooks['b']['id']}/disable")
    await tenant.owner.delete(f"/v1/webhooks/{webhooks['deleted']['id']}")
    return webhooks


async def test_the_ledger_balances_in_every_state(tenant: Tenant, service: DispatcherService) -> None:
    """Accepted events owe `matched`; that is delivered + pending + held + failed + cancelled; in flight counts as pending."""
    assert await tenant.ledger() == {**EMPTY, "balanced": True}
    webhooks = await _in_every_state(tenant, service)
    assert await tenant.ledger() == {
        "accepted": 9,  # the report that b was disabled, which owes nobody anything, is one of them
        "matched": 24,
        "delivered": 2,
        "pending": 4,
        "held": 8,
        "failed": 1,
        "cancelled": 9,
        "in_flight": 1,
        "balanced": True,
    }
    assert await tenant.ledger(webhook_id=webhooks["a"]["id"]) == {
        "accepted": 8,
        "matched": 8,
        "delivered": 2,
        "pending": 4,
        "held": 0,
        "failed": 1,
        "cancelled": 1,
        "in_flight": 1,
        "balanced": True,
    }
    held = await tenant.ledger(webhook_id=webhooks["b"]["id"])
    gone = await tenant.ledger(webhook_id=webhooks["deleted"]["id"])
    assert held == {**EMPTY, "accepted": 8, "matched": 8, "held": 8, "balanced": True}
    assert gone == {**EMPTY, "accepted": 8, "matched": 8, "cancelled": 8, "balanced": True}
    await tenant.owner.post(f"/v1/webhooks/{webhooks['b']['id']}/enable", json={"pending": "skip"})
    failed = (await tenant.deliveries(status="failed"))[0]
    await tenant.owner.post(f"/v1/deliveries/{failed['id']}/resend")
    assert await tenant.ledger() == {
        "accepted": 9,
        "matched": 24,
        "delivered": 2,
        "pending": 5,
        "held": 0,
        "failed": 0,
        "cancelled": 17,
        "in_flight": 1,
        "balanced": True,
    }


async def test_a_lost_delivery_is_noticed(tenant: Tenant, service: DispatcherService) -> None:
    """The verdict is not always yes."""
    await _in_every_state(tenant, service)
    lost = (await tenant.deliveries(status="pending"))[0]
    await service.rows("DELETE FROM deliveries WHERE id = :id", id=typeids.decode("dlv", lost["id"]))
    assert (await tenant.ledger())["balanced"] is False


async def test_a_span_of_time_counts_both_sides_alike(tenant: Tenant, service: DispatcherService) -> None:
    """A delivery belongs to the moment of its event."""
    await _in_every_state(tenant, service)
    now = datetime.now(UTC)
    before, after = (now - timedelta(hours=1)).isoformat(), (now + timedelta(hours=1)).isoformat()
    everything = await tenant.ledger()
    assert await tenant.ledger(**{"from": before, "to": after}) == everything
    assert await tenant.ledger(**{"from": after}) == {**EMPTY, "balanced": True}
    assert await tenant.ledger(to=before) == {**EMPTY, "balanced": True}
    middle = (await tenant.owner.get("/v1/events")).json()["data"][0]["occurred_at"]
    halves = [await tenant.ledger(to=middle), await tenant.ledger(**{"from": middle})]
    assert all(half["balanced"] for half in halves)
    assert sum(half["matched"] for half in halves) == everything["matched"]


async def test_realms_have_ledgers_of_their_own(tenant: Tenant, service: DispatcherService) -> None:
    """Another tenant's, and the test environment's, stay empty; so does what a foreign webhook's id asks for."""
    webhooks = await _in_every_state(tenant, service)
    other = await service.new_tenant()
    assert await other.ledger() == {**EMPTY, "balanced": True}
    assert await other.ledger(webhook_id=webhooks["a"]["id"]) == {**EMPTY, "balanced": True}
    assert (await tenant.tester.get("/v1/ledger")).json() == {**EMPTY, "balanced": True}


async def test_bad_parameters_are_refused(tenant: Tenant) -> None:
    """422 that names the parameter."""
    for query in ("webhook_id=abc", "from=2026-07-01", "to=x", "colour=red"):
        answer = await tenant.owner.get(f"/v1/ledger?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"query/{query.partition('=')[0]}")
