"""What may be asked of a recovery."""

from typing import Any

import pytest

from support.dispatcher_service import DispatcherService, Tenant
from support.recoveries import MINUTE, ago, ended, recover


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/from"),
        ({"from": "2026-01-01T00:00:00"}, "/from"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "/from"),
        ({"from": "2999-01-02T00:00:00Z"}, "/from"),
        ({"from": "2026-01-01T00:00:00Z", "status": []}, "/status"),
        ({"from": "2026-01-01T00:00:00Z", "status": ["pending"]}, "/status/0"),
        ({"from": "2026-01-01T00:00:00Z", "event_types": []}, "/event_types"),
        ({"from": "2026-01-01T00:00:00Z", "event_types": ["*x"]}, "/event_types"),
        ({"from": "2026-01-01T00:00:00Z", "event_types": ["kyc.*"] * 101}, "/event_types"),
        ({"from": "2026-01-01T00:00:00Z", "dry_run": "yes"}, "/dry_run"),
        ({"from": "2026-01-01T00:00:00Z", "colour": "red"}, "/colour"),
    ],
)
async def test_bad_requests_are_pointed_at(tenant: Tenant, body: dict[str, Any], pointer: str) -> None:
    """422 that names the field."""
    webhook = await tenant.new_webhook()
    answer = await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/recover", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text


async def test_a_preview_counts_and_does_nothing(tenant: Tenant, service: DispatcherService) -> None:
    """200 with what would be sent again; no recovery, no audit entry, nothing pending."""
    webhook_id, _ = await ended(tenant, service, count=4)
    told = await recover(tenant, webhook_id, expected=200, dry_run=True)
    assert (told["webhook_id"], told["matched"], told["matched_is_minimum"], told["skipped"]) == (
        webhook_id,
        4,
        False,
        0,
    )
    assert told["selection"]["status"] == ["failed"]
    assert (await tenant.owner.get("/v1/recoveries")).json()["data"] == []
    assert (await tenant.ledger(webhook_id=webhook_id))["failed"] == 4


async def test_a_repeated_request_starts_one_recovery(tenant: Tenant, service: DispatcherService) -> None:
    """With the same Idempotency-Key the first answer comes again; with another body 422."""
    webhook_id, _ = await ended(tenant, service, count=1)
    path, headers = f"/v1/webhooks/{webhook_id}/recover", {"idempotency-key": f"once-{webhook_id}"}
    body = {"from": ago(MINUTE)}
    first = await tenant.owner.post(path, json=body, headers=headers)
    second = await tenant.owner.post(path, json=body, headers=headers)
    assert (first.status_code, second.status_code, second.json()) == (202, 202, first.json())
    other = await tenant.owner.post(path, json={**body, "status": ["cancelled"]}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len((await tenant.owner.get("/v1/recoveries")).json()["data"]) == 1
