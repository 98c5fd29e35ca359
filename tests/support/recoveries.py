"""Recoveries for tests of the dispatcher's API: ended deliveries to recover, and the calls."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from support.dispatcher_service import DispatcherService, Tenant, payment

MINUTE = timedelta(minutes=1)


def ago(span: timedelta) -> str:
    """Return a time in the past."""
    return (datetime.now(UTC) - span).isoformat()


async def ended(
    tenant: Tenant, service: DispatcherService, *, count: int, status: str = "failed", make: Any = payment
) -> tuple[str, list[str]]:
    """Make a webhook with ``count`` deliveries that ended as ``status``; returns its id, and theirs, oldest first."""
    webhook = await tenant.new_webhook(events=["payment.*", "withdrawal.*"])
    await tenant.publish(*(make(f"{webhook['id'][-6:]}-{number:03}") for number in range(count)))
    made = [item["id"] for item in await tenant.deliveries(webhook_id=webhook["id"])][::-1]
    for delivery_id in made:
        await service.finish(delivery_id, status=status, response_status=500)
    return webhook["id"], made


async def recover(tenant: Tenant, webhook_id: str, *, expected: int = 202, **wanted: Any) -> dict[str, Any]:
    """Ask for a recovery, of the last minute unless ``wanted`` says otherwise; the answer must have the status ``expected``."""
    body = {"from": ago(MINUTE), **wanted}
    answer = await tenant.owner.post(f"/v1/webhooks/{webhook_id}/recover", json=body)
    assert answer.status_code == expected, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def shown_recovery(tenant: Tenant, recovery_id: str) -> dict[str, Any]:
    """Return a recovery as it is shown."""
    answer = await tenant.owner.get(f"/v1/recoveries/{recovery_id}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def statuses(tenant: Tenant, ids: Sequence[str]) -> list[str]:
    """Return the status of each of these deliveries."""
    found = {item["id"]: item["status"] for item in await tenant.deliveries()}
    return [found[delivery_id] for delivery_id in ids]
