"""Recoveries as callers see them: preview, start, progress, cancel, refusals. The steps are taken by hand here."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shared import typeids
from support.dispatcher_service import DispatcherService, Tenant, payment, withdrawal
from webhook_dispatcher.recoveries.runner import RecoveryRunner

MINUTE = timedelta(minutes=1)


def _ago(span: timedelta) -> str:
    return (datetime.now(UTC) - span).isoformat()


async def _ended(
    tenant: Tenant, service: DispatcherService, *, count: int, status: str = "failed", make: Any = payment
) -> tuple[str, list[str]]:
    """Make a webhook with ``count`` deliveries that ended as ``status``; returns its id, and theirs, oldest first."""
    webhook = await tenant.new_webhook(events=["payment.*", "withdrawal.*"])
    await tenant.publish(*(make(f"{webhook['id'][-6:]}-{number:03}") for number in range(count)))
    made = [item["id"] for item in await tenant.deliveries(webhook_id=webhook["id"])][::-1]
    for delivery_id in made:
        await service.finish(delivery_id, status=status, response_status=500)
    return webhook["id"], made


async def _recover(tenant: Tenant, webhook_id: str, *, expected: int = 202, **wanted: Any) -> dict[str, Any]:
    body = {"from": _ago(MINUTE), **wanted}
    answer = await tenant.owner.post(f"/v1/webhooks/{webhook_id}/recover", json=body)
    assert answer.status_code == expected, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def _shown(tenant: Tenant, recovery_id: str) -> dict[str, Any]:
    answer = await tenant.owner.get(f"/v1/recoveries/{recovery_id}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


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


async def _statuses(tenant: Tenant, ids: Sequence[str]) -> list[str]:
    found = {item["id"]: item["status"] for item in await tenant.deliveries()}
    return [found[delivery_id] for delivery_id in ids]


async def test_a_preview_counts_and_does_nothing(tenant: Tenant, service: DispatcherService, steps: Steps) -> None:
    """200 with what would be sent again; no recovery, no audit entry, nothing pending."""
    webhook_id, _ = await _ended(tenant, service, count=4)
    told = await _recover(tenant, webhook_id, expected=200, dry_run=True)
    assert (told["webhook_id"], told["matched"], told["matched_is_minimum"], told["skipped"]) == (
        webhook_id,
        4,
        False,
        0,
    )
    assert told["selection"]["status"] == ["failed"]
    await steps()
    assert (await tenant.owner.get("/v1/recoveries")).json()["data"] == []
    assert (await tenant.ledger(webhook_id=webhook_id))["failed"] == 4


async def test_what_failed_becomes_pending_again_step_by_step(
    tenant: Tenant, service: DispatcherService, steps: Steps, woken: list[UUID]
) -> None:
    """Oldest first, at the rate; the same deliveries with their ids and attempts; each step wakes the webhook."""
    webhook_id, failed = await _ended(tenant, service, count=5)
    before = (await tenant.owner.get(f"/v1/deliveries/{failed[0]}")).json()
    started = await _recover(tenant, webhook_id)
    assert started["id"].startswith("rec_")
    assert (started["status"], started["matched"], started["resent"], started["finished_at"]) == ("pending", 5, 0, None)
    assert await steps() == 1
    assert await _statuses(tenant, failed) == ["pending"] * 3 + ["failed"] * 2
    shown = await _shown(tenant, started["id"])
    assert (shown["status"], shown["resent"], shown["finished_at"]) == ("running", 3, None)
    assert woken == [typeids.decode("wh", webhook_id)]
    await steps()
    shown = await _shown(tenant, started["id"])
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
    webhook_id, failed = await _ended(tenant, service, count=5)
    await tenant.publish(*(payment(f"live-{webhook_id[-6:]}-{number}") for number in range(6)))
    started = await _recover(tenant, webhook_id)
    await steps()
    assert (await _shown(tenant, started["id"]))["resent"] == 1
    assert await _statuses(tenant, failed) == ["pending"] + ["failed"] * 4


async def test_a_delivery_is_sent_again_at_most_once(tenant: Tenant, service: DispatcherService, steps: Steps) -> None:
    """One that failed anew while the recovery still runs is not taken again."""
    webhook_id, failed = await _ended(tenant, service, count=5)
    started = await _recover(tenant, webhook_id)
    for _ in range(3):
        await steps()
        for delivery_id in failed:
            if (await _statuses(tenant, [delivery_id])) == ["pending"]:
                await service.finish(delivery_id, status="failed", response_status=500)
    shown = await _shown(tenant, started["id"])
    assert (shown["status"], shown["resent"]) == ("completed", 5)
    attempts = [(await tenant.owner.get(f"/v1/deliveries/{item}")).json()["attempts"] for item in failed]
    assert attempts == [2] * 5


async def test_a_position_lost_sends_nothing_twice(tenant: Tenant, service: DispatcherService, steps: Steps) -> None:
    """What ended after the recovery was asked for is not its business, wherever it stands."""
    webhook_id, failed = await _ended(tenant, service, count=4)
    started = await _recover(tenant, webhook_id)
    await steps()
    for delivery_id in failed[:3]:
        await service.finish(delivery_id, status="failed", response_status=500)
    await service.rows(
        "UPDATE recoveries SET position = :start WHERE id = :id",
        start=UUID(int=0),
        id=typeids.decode("rec", started["id"]),
    )
    await steps()
    shown = await _shown(tenant, started["id"])
    assert (shown["status"], shown["resent"]) == ("completed", 4)


async def test_a_selection_names_outcomes_types_and_times(
    tenant: Tenant, service: DispatcherService, steps: Steps
) -> None:
    """Only what has them all is sent again."""
    webhook_id, payments = await _ended(tenant, service, count=2)
    await tenant.publish(withdrawal(f"sel-{webhook_id[-6:]}"), payment(f"ok-{webhook_id[-6:]}"))
    (paid,) = await tenant.deliveries(webhook_id=webhook_id, status="pending", event_type="payment.succeeded")
    (withdrawn,) = await tenant.deliveries(webhook_id=webhook_id, subject=f"subject-sel-{webhook_id[-6:]}")
    await service.finish(paid["id"], status="delivered")
    await tenant.owner.post(f"/v1/deliveries/{withdrawn['id']}/cancel")

    async def matched(**wanted: Any) -> int:
        count: int = (await _recover(tenant, webhook_id, expected=200, dry_run=True, **wanted))["matched"]
        return count

    assert await matched() == 2
    assert await matched(status=["cancelled"]) == 1
    assert await matched(status=["failed", "cancelled", "delivered"]) == 4
    assert await matched(status=["failed", "cancelled", "delivered"], event_types=["withdrawal.*"]) == 1
    assert await matched(status=["failed", "cancelled"], event_types=["payment.succeeded", "kyc.*"]) == 2
    assert await matched(status=["failed", "cancelled"], event_types=["payment.failed"]) == 0
    assert await matched(status=["failed", "cancelled"], event_types=["*"]) == 3
    assert await matched(**{"from": _ago(2 * MINUTE)}, to=_ago(MINUTE)) == 0
    started = await _recover(tenant, webhook_id, event_types=["payment.*"])
    await steps()
    assert (await _shown(tenant, started["id"]))["resent"] == 2
    assert await _statuses(tenant, [*payments, withdrawn["id"], paid["id"]]) == [
        *("pending", "pending"),
        *("cancelled", "delivered"),
    ]


async def test_a_cancelled_recovery_sends_nothing_more(
    tenant: Tenant, service: DispatcherService, steps: Steps
) -> None:
    """What was made pending stays so; cancelling twice is once; a complete one is no longer cancelled."""
    webhook_id, failed = await _ended(tenant, service, count=5)
    started = await _recover(tenant, webhook_id)
    await steps()
    for _ in range(2):
        answer = await tenant.owner.delete(f"/v1/recoveries/{started['id']}")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert (answer.json()["reason"], answer.json()["resent"]) == ("by_request", 3)
    assert await steps() == 0
    assert await _statuses(tenant, failed) == ["pending"] * 3 + ["failed"] * 2
    again = await _recover(tenant, webhook_id)
    assert again["matched"] == 2
    await service.rows("DELETE FROM deliveries WHERE webhook_id = :id", id=typeids.decode("wh", webhook_id))
    await steps()
    answer = await tenant.owner.delete(f"/v1/recoveries/{again['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "recovery_ended")


async def test_a_disabled_webhook_is_not_recovered(tenant: Tenant, service: DispatcherService, steps: Steps) -> None:
    """409 when asked for; one that runs waits until the webhook is enabled again; a preview is answered all the same."""
    webhook_id, failed = await _ended(tenant, service, count=2)
    started = await _recover(tenant, webhook_id)
    await tenant.owner.post(f"/v1/webhooks/{webhook_id}/disable")
    refused = await _recover(tenant, webhook_id, expected=409)
    assert refused["code"] == "webhook_disabled"
    assert (await _recover(tenant, webhook_id, expected=200, dry_run=True))["matched"] == 2
    await steps()
    shown = await _shown(tenant, started["id"])
    assert (shown["status"], shown["reason"], shown["resent"]) == ("running", "webhook_disabled", 0)
    assert await _statuses(tenant, failed) == ["failed"] * 2
    await tenant.owner.post(f"/v1/webhooks/{webhook_id}/enable")
    await steps()
    shown = await _shown(tenant, started["id"])
    assert (shown["status"], shown["reason"], shown["resent"]) == ("completed", None, 2)


async def test_a_deleted_webhook_ends_its_recoveries(tenant: Tenant, service: DispatcherService, steps: Steps) -> None:
    """There is nothing to send to any more."""
    webhook_id, failed = await _ended(tenant, service, count=2)
    started = await _recover(tenant, webhook_id)
    await tenant.owner.delete(f"/v1/webhooks/{webhook_id}")
    await steps()
    shown = await _shown(tenant, started["id"])
    assert (shown["status"], shown["reason"]) == ("cancelled", "webhook_deleted")
    assert await _statuses(tenant, failed) == ["failed"] * 2
    assert (await _recover(tenant, webhook_id, expected=404))["code"] == "not_found"


async def test_recoveries_of_a_webhook_run_one_after_the_other_and_are_few(
    tenant: Tenant, service: DispatcherService, steps: Steps
) -> None:
    """The oldest first, so that their rates do not add up; the eleventh is refused."""
    webhook_id, _ = await _ended(tenant, service, count=5)
    made = [await _recover(tenant, webhook_id) for _ in range(10)]
    refused = await _recover(tenant, webhook_id, expected=409)
    assert refused["code"] == "recovery_limit_reached"
    assert await steps() == 1
    listed = (await tenant.owner.get("/v1/recoveries", params={"webhook_id": webhook_id})).json()["data"]
    assert [item["id"] for item in listed] == [item["id"] for item in reversed(made)]
    assert [(item["status"], item["resent"]) for item in listed] == [("pending", 0)] * 9 + [("running", 3)]


async def test_a_repeated_request_starts_one_recovery(tenant: Tenant, service: DispatcherService) -> None:
    """With the same Idempotency-Key the first answer comes again; with another body 422."""
    webhook_id, _ = await _ended(tenant, service, count=1)
    path, headers = f"/v1/webhooks/{webhook_id}/recover", {"idempotency-key": f"once-{webhook_id}"}
    body = {"from": _ago(MINUTE)}
    first = await tenant.owner.post(path, json=body, headers=headers)
    second = await tenant.owner.post(path, json=body, headers=headers)
    assert (first.status_code, second.status_code, second.json()) == (202, 202, first.json())
    other = await tenant.owner.post(path, json={**body, "status": ["cancelled"]}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len((await tenant.owner.get("/v1/recoveries")).json()["data"]) == 1


async def test_recoveries_are_audited(tenant: Tenant, service: DispatcherService, steps: Steps) -> None:
    """Who asked for what, who cancelled it, and what the worker came to."""
    webhook_id, _ = await _ended(tenant, service, count=2)
    first = await _recover(tenant, webhook_id)
    await steps()
    second = await _recover(tenant, webhook_id)
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
