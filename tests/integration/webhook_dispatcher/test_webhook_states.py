"""Enabled and disabled: what is held, drained, skipped or cancelled, and test events."""

from typing import Any

import orjson
import pytest

from shared import typeids
from support.dispatcher_service import DispatcherService, Tenant, payment, withdrawal
from webhook_dispatcher.lanes.lane import lane_of


async def _act(tenant: Tenant, webhook: dict[str, Any], action: str, **body: Any) -> dict[str, Any]:
    answer = await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/{action}", json=body or None)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def _statuses(tenant: Tenant) -> list[str]:
    return sorted(delivery["status"] for delivery in await tenant.deliveries())


async def test_disabling_says_why_and_since_when(tenant: Tenant) -> None:
    """Twice is once; enabling clears it."""
    webhook = await tenant.new_webhook()
    disabled = await _act(tenant, webhook, "disable")
    assert (disabled["enabled"], disabled["disabled_reason"]) == (False, "by request")
    assert disabled["disabled_at"].endswith("Z")
    assert await _act(tenant, webhook, "disable") == disabled
    enabled = await _act(tenant, webhook, "enable")
    assert (enabled["enabled"], enabled["disabled_reason"], enabled["disabled_at"]) == (True, None, None)


async def test_a_webhook_made_disabled_says_since_when(tenant: Tenant) -> None:
    """As if it had been disabled at its creation."""
    webhook = await tenant.new_webhook(enabled=False)
    assert (webhook["enabled"], webhook["disabled_reason"]) == (False, "by request")
    assert webhook["disabled_at"][:19] == webhook["created_at"][:19]


async def test_while_disabled_deliveries_are_held_and_enabling_makes_them_pending(tenant: Tenant) -> None:
    """Those that were pending before as well; nothing is dropped."""
    webhook = await tenant.new_webhook()
    await tenant.publish(payment(1))
    await _act(tenant, webhook, "disable")
    await tenant.publish(payment(2), payment(3))
    assert await _statuses(tenant) == ["held"] * 3
    held = await tenant.deliveries(status="held")
    assert len(held) == 3
    assert await tenant.deliveries(status="pending") == []
    await _act(tenant, webhook, "enable", pending="deliver")
    assert await _statuses(tenant) == ["pending"] * 3


async def test_skip_cancels_what_was_held(tenant: Tenant) -> None:
    """And only that: what is published afterwards is owed."""
    webhook = await tenant.new_webhook(enabled=False)
    await tenant.publish(payment(1), payment(2))
    await _act(tenant, webhook, "enable", pending="skip")
    await tenant.publish(payment(3))
    assert await _statuses(tenant) == ["cancelled", "cancelled", "pending"]
    assert all(item["finished_at"] for item in await tenant.deliveries(status="cancelled"))


async def test_skip_on_an_enabled_webhook_cancels_nothing(tenant: Tenant) -> None:
    """There is nothing held."""
    webhook = await tenant.new_webhook()
    await tenant.publish(payment(1))
    await _act(tenant, webhook, "enable", pending="skip")
    assert await _statuses(tenant) == ["pending"]


@pytest.mark.parametrize(
    ("body", "pointer"), [({"pending": "drop"}, "/pending"), ({"pending": None}, "/pending"), ({"x": 1}, "/x")]
)
async def test_a_bad_enabling_is_refused(tenant: Tenant, body: dict[str, Any], pointer: str) -> None:
    """And leaves the webhook disabled."""
    webhook = await tenant.new_webhook(enabled=False)
    answer = await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/enable", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert (await tenant.owner.get(f"/v1/webhooks/{webhook['id']}")).json()["enabled"] is False


async def test_deleting_cancels_what_is_pending_or_held_and_keeps_history(
    tenant: Tenant, service: DispatcherService
) -> None:
    """What was delivered stays delivered; events and deliveries stay readable."""
    webhook = await tenant.new_webhook()
    await tenant.publish(payment(1), payment(2), payment(3))
    delivered = (await tenant.deliveries())[0]
    await service.finish(delivered["id"], status="delivered")
    assert (await tenant.owner.delete(f"/v1/webhooks/{webhook['id']}")).status_code == 204
    assert await _statuses(tenant) == ["cancelled", "cancelled", "delivered"]
    shown = (await tenant.owner.get(f"/v1/deliveries/{delivered['id']}")).json()
    assert (shown["status"], len(shown["attempt_log"])) == ("delivered", 1)
    await tenant.publish(payment(4))
    assert len(await tenant.deliveries()) == 3
    resent = await tenant.owner.post(f"/v1/deliveries/{delivered['id']}/resend")
    assert (resent.status_code, resent.json()["code"]) == (409, "webhook_deleted")


@pytest.mark.parametrize("event_type", ["withdrawal.approved.node.2", "payment.failed", "webhook.failing"])
async def test_a_test_event_goes_to_this_webhook_alone_and_is_marked(tenant: Tenant, event_type: str) -> None:
    """Whatever events the webhook selects; the mark stands in the signed body."""
    webhook = await tenant.new_webhook(events=["kyc.rejected"])
    await tenant.new_webhook(events=["*"])
    answer = await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/test", json={"event_type": event_type})
    assert answer.status_code == 202, answer.text
    (delivery,) = await tenant.deliveries()
    assert (delivery["id"], delivery["event_id"]) == (answer.json()["delivery_id"], answer.json()["event_id"])
    assert (delivery["webhook_id"], delivery["event_type"], delivery["test"]) == (webhook["id"], event_type, True)
    event = (await tenant.owner.get(f"/v1/events/{delivery['event_id']}")).json()
    example = (await tenant.owner.get(f"/v1/event-types/{event_type}")).json()["example"]
    assert (event["test"], event["data"], event["matched"]) == (True, example, 1)
    assert orjson.loads(event["body"])["test"] is True
    assert [item["id"] for item in event["deliveries"]] == [delivery["id"]]
    assert (await tenant.ledger())["balanced"] is True


async def test_test_events_of_a_request_never_use_up_a_first_match(tenant: Tenant) -> None:
    """Each has a subject of its own; real requests are delivered all the same."""
    webhook = await tenant.new_webhook(events=["withdrawal.*"])
    for _ in range(2):
        body = {"event_type": "withdrawal.approved.node.1"}
        assert (await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/test", json=body)).status_code == 202
    await tenant.publish(withdrawal(1))
    assert len(await tenant.deliveries()) == 3


async def test_a_test_event_for_a_disabled_webhook_is_refused(tenant: Tenant) -> None:
    """409, and nothing is made: whoever tests wants to see it arrive now."""
    webhook = await tenant.new_webhook(enabled=False)
    answer = await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/test", json={"event_type": "payment.failed"})
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_disabled")
    assert (await tenant.owner.get("/v1/events")).json()["data"] == []


@pytest.mark.parametrize("event_type", ["nope", "", "withdrawal.*", None, 5, "x" * 129])
async def test_a_test_event_of_an_unknown_type_is_refused(tenant: Tenant, event_type: Any) -> None:
    """422 at /event_type."""
    webhook = await tenant.new_webhook()
    answer = await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/test", json={"event_type": event_type})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/event_type")


async def test_a_webhook_keeps_its_lane(tenant: Tenant, service: DispatcherService) -> None:
    """What is stored is what is computed of its id, whatever is changed."""
    webhook = await tenant.new_webhook()
    await tenant.owner.patch(f"/v1/webhooks/{webhook['id']}", json={"url": "https://other.example.com/"})
    webhook_id = typeids.decode("wh", webhook["id"])
    (row,) = await service.rows("SELECT lane FROM webhooks WHERE id = :id", id=webhook_id)
    assert row.lane == lane_of(webhook_id)
