"""Recoveries step by step: what is taken back and when, and what ends or holds them. The steps are taken by hand here."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from shared import typeids
from support.dispatcher_service import DispatcherService, Tenant, payment, withdrawal
from support.recoveries import MINUTE, ago, ended, recover, shown_recovery, statuses
from webhook_dispatcher.recoveries.runner import RecoveryRunner

Steps = Callable[[], Awaitable[int]]


@pytest.fixture
def woken() -> list[UUID]:
    """Return the webhooks that were woken."""
    return []


@pytest.fixture
def steps(service: DispatcherService, woken: list[UUID]) -> Steps:
    """Return what takes all steps that are due, as a worker does each second; it moves the time on for itself."""
    runner = RecoveryRunner(service.resources.database, rate_per_second=3, woken=woken.extend)

    async def take() -> int:
        await service.rows("UPDATE recoveries SET next_step_at = now() - interval '1 second'")
        taken = 0
        while await runner.step():
            taken += 1
        return taken

    return take


async def test_what_failed_becomes_pending_again_step_by_step(
    tenant: Tenant, service: DispatcherService, steps: Steps, woken: list[UUID]
) -> None:
    """Oldest first, at the rate; the same deliveries with their ids and attempts; each step wakes the webhook."""
    webhook_id, failed = await ended(tenant, service, count=5)
    before = (await tenant.owner.get(f"/v1/deliveries/{failed[0]}")).json()
    started = await recover(tenant, webhook_id)
    assert started["id"].startswith("rec_")
    assert (started["status"], started["matched"], started["resent"], started["finished_at"]) == ("pending", 5, 0, None)
    assert await steps() == 1
    assert await statuses(tenant, failed) == ["pending"] * 3 + ["failed"] * 2
    shown = await shown_recovery(tenant, started["id"])
    assert (shown["status"], shown["resent"], shown["finished_at"]) == ("running", 3, None)
    assert woken == [typeids.decode("wh", webhook_id)]
    await steps()
    shown = await shown_recovery(tenant, started["id"])
    assert (shown["status"], shown["resent"], shown["skipped"]) == ("completed", 5, 0)
    assert shown["finished_at"].endswith("Z")
    after = (await tenant.owner.get(f"/v1/deliveries/{failed[0]}")).json()
    assert (after["event_id"], after["attempts"], after["attempt_log"]) == (
        before["event_id"],
        before["attempts"],
        before["attempt_log"],
    )
    assert await steps() == 0
    assert (await tenant.ledger())["balanced"] is True


async def test_what_waits_at_the_destination_slows_a_recovery_down(
    tenant: Tenant, service: DispatcherService, steps: Steps
) -> None:
    """While six deliveries, two seconds' worth, are due, it adds one a step: live ones wait behind few."""
    webhook_id, failed = await ended(tenant, service, count=5)
    await tenant.publish(*(payment(f"live-{webhook_id[-6:]}-{number}") for number in range(6)))
    started = await recover(tenant, webhook_id)
    await steps()
    assert (await shown_recovery(tenant, started["id"]))["resent"] == 1
    assert await statuses(tenant, failed) == ["pending"] + ["failed"] * 4


async def test_a_delivery_is_sent_again_at_most_once(tenant: Tenant, service: DispatcherService, steps: Steps) -> None:
    """One that failed anew while the recovery still runs is not taken again."""
    webhook_id, failed = await ended(tenant, service, count=5)
    started = await recover(tenant, webhook_id)
    for _ in range(3):
        await steps()
        for delivery_id in failed:
            if (await statuses(tenant, [delivery_id])) == ["pending"]:
                await service.finish(delivery_id, status="failed", response_status=500)
    shown = await shown_recovery(tenant, started["id"])
    assert (shown["status"], shown["resent"]) == ("completed", 5)
    attempts = [(await tenant.owner.get(f"/v1/deliveries/{item}")).json()["attempts"] for item in failed]
    assert attempts == [2] * 5


async def test_a_position_lost_sends_nothing_twice(tenant: Tenant, service: DispatcherService, steps: Steps) -> None:
    """What ended after the recovery was asked for is not its business, wherever it stands."""
    webhook_id, failed = await ended(tenant, service, count=4)
    started = await recover(tenant, webhook_id)
    await steps()
    for delivery_id in failed[:3]:
        await service.finish(delivery_id, status="failed", response_status=500)
    await service.rows(
        "UPDATE recoveries SET position = :start WHERE id = :id",
        start=UUID(int=0),
        id=typeids.decode("rec", started["id"]),
    )
    await steps()
    shown = await shown_recovery(tenant, started["id"])
    assert (shown["status"], shown["resent"]) == ("completed", 4)


async def test_a_selection_names_outcomes_types_and_times(
    tenant: Tenant, service: DispatcherService, steps: Steps
) -> None:
    """Only what has them all is sent again."""
    webhook_id, payments = await ended(tenant, service, count=2)
    await tenant.publish(withdrawal(f"sel-{webhook_id[-6:]}"), payment(f"ok-{webhook_id[-6:]}"))
    (paid,) = await tenant.deliveries(webhook_id=webhook_id, status="pending", event_type="payment.succeeded")
    (withdrawn,) = await tenant.deliveries(webhook_id=webhook_id, subject=f"subject-sel-{webhook_id[-6:]}")
    await service.finish(paid["id"], status="delivered")
    await tenant.owner.post(f"/v1/deliveries/{withdrawn['id']}/cancel")

    async def matched(**wanted: Any) -> int:
        count: int = (await recover(tenant, webhook_id, expected=200, dry_run=True, **wanted))["matched"]
        return count

    assert await matched() == 2
    assert await matched(status=["cancelled"]) == 1
    assert await matched(status=["failed", "cancelled", "delivered"]) == 4
    assert await matched(status=["failed", "cancelled", "delivered"], event_types=["withdrawal.*"]) == 1
    assert await matched(status=["failed", "cancelled"], event_types=["payment.succeeded", "kyc.*"]) == 2
    assert await matched(status=["failed", "cancelled"], event_types=["payment.failed"]) == 0
    assert await matched(status=["failed", "cancelled"], event_types=["*"]) == 3
    assert await matched(**{"from": ago(2 * MINUTE)}, to=ago(MINUTE)) == 0
    started = await recover(tenant, webhook_id, event_types=["payment.*"])
    await steps()
    assert (await shown_recovery(tenant, started["id"]))["resent"] == 2
    assert await statuses(tenant, [*payments, withdrawn["id"], paid["id"]]) == [
        *("pending", "pending"),
        *("cancelled", "delivered"),
    ]


async def test_a_cancelled_recovery_sends_nothing_more(
    tenant: Tenant, service: DispatcherService, steps: Steps
) -> None:
    """What was made pending stays so; cancelling twice is once; a complete one is no longer cancelled."""
    webhook_id, failed = await ended(tenant, service, count=5)
    started = await recover(tenant, webhook_id)
    await steps()
    for _ in range(2):
        answer = await tenant.owner.delete(f"/v1/recoveries/{started['id']}")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert (answer.json()["reason"], answer.json()["resent"]) == ("by_request", 3)
    assert await steps() == 0
    assert await statuses(tenant, failed) == ["pending"] * 3 + ["failed"] * 2
    again = await recover(tenant, webhook_id)
    assert again["matched"] == 2
    await service.rows("DELETE FROM deliveries WHERE webhook_id = :id", id=typeids.decode("wh", webhook_id))
    await steps()
    answer = await tenant.owner.delete(f"/v1/recoveries/{again['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "recovery_ended")


async def test_a_disabled_webhook_is_not_recovered(tenant: Tenant, service: DispatcherService, steps: Steps) -> None:
    """409 when asked for; one that runs waits until the webhook is enabled again; a preview is answered all the same."""
    webhook_id, failed = await ended(tenant, service, count=2)
    started = await recover(tenant, webhook_id)
    await tenant.owner.post(f"/v1/webhooks/{webhook_id}/disable")
    refused = await recover(tenant, webhook_id, expected=409)
    assert refused["code"] == "webhook_disabled"
    assert (await recover(tenant, webhook_id, expected=200, dry_run=True))["matched"] == 2
    await steps()
    shown = await shown_recovery(tenant, started["id"])
    assert (shown["status"], shown["reason"], shown["resent"]) == ("running", "webhook_disabled", 0)
    assert await statuses(tenant, failed) == ["failed"] * 2
    await tenant.owner.post(f"/v1/webhooks/{webhook_id}/enable")
    await steps()
    shown = await shown_recovery(tenant, started["id"])
    assert (shown["status"], shown["reason"], shown["resent"]) == ("completed", None, 2)


async def test_while_the_breaker_is_open_a_recovery_waits(
    tenant: Tenant, service: DispatcherService, steps: Steps
) -> None:
    """What it took back would only be held."""
    webhook_id, failed = await ended(tenant, service, count=1)
    started = await recover(tenant, webhook_id)
    change = "UPDATE webhooks SET breaker_opened_at = {at}, probe_at = {at} WHERE id = :id"
    await service.rows(change.format(at="now()"), id=typeids.decode("wh", webhook_id))
    await steps()
    shown = await shown_recovery(tenant, started["id"])
    assert (shown["status"], shown["reason"]) == ("running", "breaker_open")
    assert await statuses(tenant, failed) == ["failed"]
    await service.rows(change.format(at="NULL"), id=typeids.decode("wh", webhook_id))
    await steps()
    assert (await shown_recovery(tenant, started["id"]))["status"] == "completed"


async def test_a_deleted_webhook_ends_its_recoveries(tenant: Tenant, service: DispatcherService, steps: Steps) -> None:
    """There is nothing to send to any more."""
    webhook_id, failed = await ended(tenant, service, count=2)
    started = await recover(tenant, webhook_id)
    await tenant.owner.delete(f"/v1/webhooks/{webhook_id}")
    await steps()
    shown = await shown_recovery(tenant, started["id"])
    assert (shown["status"], shown["reason"]) == ("cancelled", "webhook_deleted")
    assert await statuses(tenant, failed) == ["failed"] * 2
    assert (await recover(tenant, webhook_id, expected=404))["code"] == "not_found"


async def test_recoveries_of_a_webhook_run_one_after_the_other_and_are_few(
    tenant: Tenant, service: DispatcherService, steps: Steps
) -> None:
    """The oldest first, so that their rates do not add up; the eleventh is refused."""
    webhook_id, _ = await ended(tenant, service, count=5)
    made = [await recover(tenant, webhook_id) for _ in range(10)]
    refused = await recover(tenant, webhook_id, expected=409)
    assert refused["code"] == "recovery_limit_reached"
    assert await steps() == 1
    listed = (await tenant.owner.get("/v1/recoveries", params={"webhook_id": webhook_id})).json()["data"]
    assert [item["id"] for item in listed] == [item["id"] for item in reversed(made)]
    assert [(item["status"], item["resent"]) for item in listed] == [("pending", 0)] * 9 + [("running", 3)]


async def test_recoveries_are_audited(tenant: Tenant, service: DispatcherService, steps: Steps) -> None:
    """Who asked for what, who cancelled it, and what the worker came to."""
    webhook_id, _ = await ended(tenant, service, count=2)
    first = await recover(tenant, webhook_id)
    await steps()
    second = await recover(tenant, webhook_id)
    await tenant.owner.delete(f"/v1/recoveries/{second['id']}")
    entries = await service.rows(
        "SELECT action, actor, target, changes FROM audit_entries WHERE tenant_id = :tenant AND action LIKE 'recovery.%'"
        " ORDER BY id",
        tenant=typeids.decode("ten", tenant.id),
    )
    assert [(entry.action, entry.target, entry.actor) for entry in entries] == [
        ("recovery.started", first["id"], first["created_by"]),
        ("recovery.completed", first["id"], "system"),
        ("recovery.started", second["id"], first["created_by"]),
        ("recovery.cancelled", second["id"], first["created_by"]),
    ]
    assert (entries[0].changes["webhook_id"], entries[0].changes["matched"]) == (webhook_id, 2)
    assert entries[1].changes == {"resent": 2, "skipped": 0, "reason": None}
