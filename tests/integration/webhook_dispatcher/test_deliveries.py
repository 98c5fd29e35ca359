"""Deliveries: lists by filter, one with its attempts, sent again, cancelled."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared import typeids
from support.dispatcher_service import DispatcherService, Tenant, payment, withdrawal


async def _one(tenant: Tenant, service: DispatcherService, status: str) -> dict[str, Any]:
    """Return a delivery in that state, of a webhook of its own."""
    webhook = await tenant.new_webhook(events=["payment.*"])
    await tenant.publish(payment(status))
    (delivery,) = await tenant.deliveries(webhook_id=webhook["id"])
    match status:
        case "held":
            await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/disable")
        case "in_flight":
            await service.put_in_flight(delivery["id"])
        case "delivered":
            await service.finish(delivery["id"], status="delivered")
        case "failed":
            await service.finish(delivery["id"], status="failed", response_status=500)
        case "cancelled":
            await tenant.owner.post(f"/v1/deliveries/{delivery['id']}/cancel")
    shown = await _shown(tenant, delivery["id"])
    assert shown["status"] == status
    return shown


async def _shown(tenant: Tenant, delivery_id: str) -> dict[str, Any]:
    answer = await tenant.owner.get(f"/v1/deliveries/{delivery_id}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def test_a_new_delivery_is_pending_and_due(tenant: Tenant, service: DispatcherService) -> None:
    """With what identifies its event, and no attempt yet."""
    shown = await _one(tenant, service, "pending")
    assert shown["id"].startswith("dlv_")
    due = datetime.fromisoformat(shown["next_attempt_at"])
    assert abs(datetime.now(UTC) - due) < timedelta(minutes=1)
    expected: dict[str, Any] = {
        "event_id": "pay-pending",
        "event_type": "payment.succeeded",
        "subject": None,
        "attempts": 0,
        "test": False,
        "finished_at": None,
        "last_response_status": None,
        "last_error_code": None,
        "environment": "live",
        "attempt_log": [],
    }
    assert {name: shown[name] for name in expected} == expected


async def test_an_ended_delivery_shows_every_attempt(tenant: Tenant, service: DispatcherService) -> None:
    """Request and answer, the body that was sent, and how long it took."""
    shown = await _one(tenant, service, "delivered")
    assert (shown["attempts"], shown["last_response_status"], shown["next_attempt_at"]) == (1, 200, None)
    assert shown["finished_at"].endswith("Z")
    (attempt,) = shown["attempt_log"]
    assert attempt["id"].startswith("att_")
    assert (attempt["number"], attempt["outcome"], attempt["duration_ms"]) == (1, "delivered", 12.5)
    event = (await tenant.owner.get(f"/v1/events/{shown['event_id']}")).json()
    assert attempt["request"]["body"] == event["body"]
    assert attempt["response"] == {
        "status": 200,
        "headers": [["content-type", "text/plain"]],
        "body": "ok",
        "truncated": False,
    }


async def test_lists_are_filtered(tenant: Tenant, service: DispatcherService) -> None:
    """By webhook, status, type, subject, text and time, over outstanding and ended ones alike."""
    statuses = ("pending", "held", "in_flight", "delivered", "failed", "cancelled")
    made = {}
    for status in statuses:
        webhook = await tenant.new_webhook(events=["withdrawal.*"], name=status)
        await tenant.publish(withdrawal(status))
        (made[status],) = await tenant.deliveries(webhook_id=webhook["id"], subject=f"subject-{status}")
        await tenant.owner.patch(f"/v1/webhooks/{webhook['id']}", json={"events": ["kyc.rejected"]})
        if status == "held":
            await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/disable")
    await service.put_in_flight(made["in_flight"]["id"])
    await service.finish(made["delivered"]["id"], status="delivered")
    await service.finish(made["failed"]["id"], status="failed", response_status=503)
    await tenant.owner.post(f"/v1/deliveries/{made['cancelled']['id']}/cancel")
    newest_first = [made[status]["id"] for status in reversed(statuses)]

    async def ids(**filters: Any) -> list[str]:
        return [item["id"] for item in await tenant.deliveries(**filters)]

    assert await ids() == newest_first
    for status in statuses:
        assert await ids(status=status) == [made[status]["id"]]
        assert await ids(webhook_id=made[status]["webhook_id"]) == [made[status]["id"]]
    assert await ids(subject="subject-held") == [made["held"]["id"]]
    assert await ids(event_type="withdrawal.approved.node.1") == newest_first
    assert await ids(event_type="withdrawal.rejected") == []
    assert await ids(q="WR-FAILED") == [made["failed"]["id"]]
    assert await ids(q="approved.node", status="delivered") == [made["delivered"]["id"]]
    later = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    assert await ids(**{"from": later}) == []
    assert await ids(to=later) == newest_first
    pages: list[str] = []
    cursor: dict[str, Any] = {}
    for _ in range(3):
        page = (await tenant.owner.get("/v1/deliveries", params={"limit": 2, **cursor})).json()
        pages += [item["id"] for item in page["data"]]
        cursor = {"cursor": page["next_cursor"]}
    assert (pages, cursor["cursor"]) == (newest_first, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("webhook_id", value) for value in ("", "abc", "dlv_00000000000000000000000000")),
        *(("status", value) for value in ("", "done", "PENDING")),
        *(
            ("from", "2026-07-01T12:00:00"),
            ("to", "x"),
            ("limit", "0"),
            ("cursor", "abc"),
            ("q", "a\0"),
            ("colour", "red"),
        ),
    ],
)
async def test_bad_parameters_are_refused(tenant: Tenant, name: str, value: str) -> None:
    """422 that names the parameter."""
    answer = await tenant.owner.get("/v1/deliveries", params={name: value})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"query/{name}"), answer.text


@pytest.mark.parametrize("status", ["pending", "delivered", "failed", "cancelled"])
async def test_a_delivery_is_sent_again(tenant: Tenant, service: DispatcherService, status: str) -> None:
    """It is pending and due at once, under the same ids; its attempts stay and are counted on."""
    before = await _one(tenant, service, status)
    answer = await tenant.owner.post(f"/v1/deliveries/{before['id']}/resend")
    assert answer.status_code == 202, answer.text
    after = await _shown(tenant, before["id"])
    assert (after["status"], after["finished_at"], after["attempts"]) == ("pending", None, before["attempts"])
    assert (after["event_id"], after["attempt_log"]) == (before["event_id"], before["attempt_log"])
    assert datetime.fromisoformat(after["next_attempt_at"]) <= datetime.now(UTC)
    assert answer.json() == {name: value for name, value in after.items() if name != "attempt_log"}
    assert (await tenant.ledger())["balanced"] is True


async def test_resending_starts_the_schedule_anew(tenant: Tenant, service: DispatcherService) -> None:
    """A delivery that waits far in its schedule is due now, as after no failure."""
    delivery = await _one(tenant, service, "pending")
    row_id = typeids.decode("dlv", delivery["id"])
    later = "UPDATE deliveries SET failures = 7, next_attempt_at = now() + interval '1 day' WHERE id = :id"
    await service.rows(later, id=row_id)
    assert (await tenant.owner.post(f"/v1/deliveries/{delivery['id']}/resend")).status_code == 202
    due = "SELECT failures, next_attempt_at <= now() AS due FROM deliveries WHERE id = :id"
    (row,) = await service.rows(due, id=row_id)
    assert (row.failures, row.due) == (0, True)


@pytest.mark.parametrize(("status", "code"), [("held", "webhook_disabled"), ("in_flight", "delivery_in_flight")])
async def test_what_cannot_be_sent_again_now(
    tenant: Tenant, service: DispatcherService, status: str, code: str
) -> None:
    """409, and it stays as it was."""
    before = await _one(tenant, service, status)
    answer = await tenant.owner.post(f"/v1/deliveries/{before['id']}/resend")
    assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert await _shown(tenant, before["id"]) == before


async def test_an_ended_delivery_of_a_disabled_webhook_is_not_sent_again(
    tenant: Tenant, service: DispatcherService
) -> None:
    """409 while the webhook is disabled: it would only be held."""
    before = await _one(tenant, service, "failed")
    await tenant.owner.post(f"/v1/webhooks/{before['webhook_id']}/disable")
    answer = await tenant.owner.post(f"/v1/deliveries/{before['id']}/resend")
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_disabled")
    assert await _shown(tenant, before["id"]) == before


@pytest.mark.parametrize("status", ["pending", "held"])
async def test_what_is_outstanding_is_cancelled(tenant: Tenant, service: DispatcherService, status: str) -> None:
    """It is history then."""
    before = await _one(tenant, service, status)
    answer = await tenant.owner.post(f"/v1/deliveries/{before['id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    after = await _shown(tenant, before["id"])
    assert (after["status"], after["next_attempt_at"]) == ("cancelled", None)
    assert after["finished_at"]


@pytest.mark.parametrize("status", ["in_flight", "delivered", "failed", "cancelled"])
async def test_what_has_ended_or_is_in_flight_is_not_cancelled(
    tenant: Tenant, service: DispatcherService, status: str
) -> None:
    """409, and it stays as it was."""
    before = await _one(tenant, service, status)
    answer = await tenant.owner.post(f"/v1/deliveries/{before['id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "delivery_not_cancellable")
    assert await _shown(tenant, before["id"]) == before
