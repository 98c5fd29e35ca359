"""What may be asked of a recovery."""

from typing import Any

import pytest

from support.dispatcher_service import Tenant


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
