"""Every call needs exactly its scope, and an invalid credential is answered the same everywhere."""

import pytest

from support.dispatcher_service import URL, DispatcherService, Tenant, payment
from support.scope_table import (
    ScopedCall,
    check_invalid_credentials_are_uniform,
    check_refused_without_scope,
    check_scope_suffices,
    documented_calls,
    listed_calls,
)

WEBHOOK, DELIVERY = "wh_01jzzzzzzzzzzzzzzzzzzzzzzz", "dlv_01jzzzzzzzzzzzzzzzzzzzzzzz"
RECOVERY = "rec_01jzzzzzzzzzzzzzzzzzzzzzzz"
REJECTED = "rej_01jzzzzzzzzzzzzzzzzzzzzzzz"
#: Each call with the scope that the contract gives it, and what it answers to a key that has this scope alone.
CALLS = [
    ("POST", "/v1/webhooks", "webhooks:write", 201),
    ("GET", "/v1/webhooks", "webhooks:read", 200),
    ("GET", f"/v1/webhooks/{WEBHOOK}", "webhooks:read", 404),
    ("PATCH", f"/v1/webhooks/{WEBHOOK}", "webhooks:write", 404),
    ("DELETE", f"/v1/webhooks/{WEBHOOK}", "webhooks:write", 404),
    ("POST", f"/v1/webhooks/{WEBHOOK}/enable", "webhooks:write", 404),
    ("POST", f"/v1/webhooks/{WEBHOOK}/disable", "webhooks:write", 404),
    ("POST", f"/v1/webhooks/{WEBHOOK}/secret/reveal", "webhooks:reveal", 404),
    ("POST", f"/v1/webhooks/{WEBHOOK}/secret/rotate", "webhooks:write", 404),
    ("POST", f"/v1/webhooks/{WEBHOOK}/test", "webhooks:write", 404),
    ("GET", "/v1/event-types", "webhooks:read", 200),
    ("GET", "/v1/event-types/kyc.rejected", "webhooks:read", 200),
    ("POST", "/v1/event-types", "webhooks:write", 201),
    ("PATCH", "/v1/event-types/kyc.rejected", "webhooks:write", 409),
    ("DELETE", "/v1/event-types/kyc.rejected", "webhooks:write", 409),
    ("POST", "/v1/events", "events:publish", 202),
    ("GET", "/v1/events", "events:read", 200),
    ("GET", "/v1/events/nope", "events:read", 404),
    ("GET", "/v1/deliveries", "deliveries:read", 200),
    ("GET", f"/v1/deliveries/{DELIVERY}", "deliveries:read", 404),
    ("POST", f"/v1/deliveries/{DELIVERY}/resend", "deliveries:resend", 404),
    ("POST", f"/v1/deliveries/{DELIVERY}/cancel", "deliveries:resend", 404),
    ("GET", "/v1/ledger", "deliveries:read", 200),
    ("GET", f"/v1/webhooks/{WEBHOOK}/stats", "deliveries:read", 404),
    ("POST", f"/v1/webhooks/{WEBHOOK}/recover", "deliveries:resend", 404),
    ("GET", "/v1/recoveries", "deliveries:resend", 200),
    ("GET", f"/v1/recoveries/{RECOVERY}", "deliveries:resend", 404),
    ("DELETE", f"/v1/recoveries/{RECOVERY}", "deliveries:resend", 404),
    ("GET", "/v1/rejected-events", "events:read", 200),
    ("GET", f"/v1/rejected-events/{REJECTED}", "events:read", 404),
    ("POST", f"/v1/rejected-events/{REJECTED}/replay", "events:publish", 404),
]
BODIES = {
    ("POST", "/v1/webhooks"): {"name": "x", "url": URL, "events": ["*"]},
    ("PATCH", f"/v1/webhooks/{WEBHOOK}"): {"name": "x"},
    ("POST", f"/v1/webhooks/{WEBHOOK}/test"): {"event_type": "payment.failed"},
    ("POST", "/v1/event-types"): {"name": "acme.x", "description": "x", "json_schema": {}, "example": {}},
    ("PATCH", "/v1/event-types/kyc.rejected"): {"description": "x"},
    ("POST", "/v1/events"): payment(1),
    ("POST", f"/v1/webhooks/{WEBHOOK}/recover"): {"from": "2026-01-01T00:00:00Z"},
}
SCOPED = [
    ScopedCall(method=method, path=path, scope=scope, status=status, body=BODIES.get((method, path)))
    for method, path, scope, status in CALLS
]
EACH_CALL = pytest.mark.parametrize("call", SCOPED, ids=str)


def test_the_table_names_every_call(service: DispatcherService) -> None:
    """A new route without a line here fails."""
    template = {WEBHOOK: "{webhook_id}", DELIVERY: "{delivery_id}", "kyc.rejected": "{name}", "nope": "{event_id}"}
    template |= {RECOVERY: "{recovery_id}", REJECTED: "{rejected_id}"}
    assert listed_calls([call[:2] for call in CALLS], template) == documented_calls(service.app)


@EACH_CALL
async def test_a_call_refuses_a_key_that_lacks_exactly_its_scope(
    service: DispatcherService, tenant: Tenant, call: ScopedCall
) -> None:
    """403 that names the scope; nothing is done."""
    await check_refused_without_scope(service, tenant.id, call)


@EACH_CALL
async def test_a_call_needs_nothing_beyond_its_scope(
    service: DispatcherService, tenant: Tenant, call: ScopedCall
) -> None:
    """A key with that one scope is let through."""
    await check_scope_suffices(service, tenant.id, call)


@EACH_CALL
async def test_an_invalid_credential_is_answered_the_same_everywhere(
    service: DispatcherService, call: ScopedCall
) -> None:
    """One 401, so that it says nothing about why."""
    await check_invalid_credentials_are_uniform(service, call)


async def test_two_credentials_and_credentials_in_the_url_are_refused(tenant: Tenant) -> None:
    """400; which of two to believe is nobody's guess, and a URL is kept in logs."""
    key = tenant.owner.headers["x-api-key"]
    two = await tenant.owner.get("/v1/webhooks", headers={"authorization": f"Bearer {key}"})
    assert (two.status_code, two.json()["code"]) == (400, "multiple_credentials")
    for query in (f"api_key={key}", f"q={key}", "access_token=x", "key="):
        answer = await tenant.owner.get(f"/v1/webhooks?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "credential_in_url")
        assert key not in answer.text
