"""Every call needs exactly its scope, and an invalid credential is answered the same everywhere."""

import httpx2
import pytest

from shared import key_format
from shared.scopes import TENANT_SCOPES
from support.dispatcher_service import URL, DispatcherService, Tenant, payment

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
WITH_SCOPES = pytest.mark.parametrize(
    ("method", "path", "scope", "status"), CALLS, ids=[f"{c[0]} {c[1]}" for c in CALLS]
)


async def _send(client: httpx2.AsyncClient, method: str, path: str, **headers: str) -> httpx2.Response:
    return await client.request(method, path, json=BODIES.get((method, path)), headers=headers)


def test_the_table_names_every_call(service: DispatcherService) -> None:
    """A new route without a line here fails."""
    documented = {
        (method.upper(), path)
        for path, operations in service.app.openapi()["paths"].items()
        for method in operations
        if path.startswith("/v1/")
    }
    template = {WEBHOOK: "{webhook_id}", DELIVERY: "{delivery_id}", "kyc.rejected": "{name}", "nope": "{event_id}"}
    template |= {RECOVERY: "{recovery_id}", REJECTED: "{rejected_id}"}
    listed = {(method, "/".join(template.get(part, part) for part in path.split("/"))) for method, path, *_ in CALLS}
    assert listed == documented


@pytest.mark.parametrize(("method", "path", "scope"), [call[:3] for call in CALLS])
async def test_a_call_refuses_a_key_that_lacks_exactly_its_scope(
    service: DispatcherService, tenant: Tenant, method: str, path: str, scope: str
) -> None:
    """403 that names the scope, in the body and in WWW-Authenticate; nothing is done."""
    client = await service.client_with(tenant.id, scopes=sorted(set(TENANT_SCOPES) - {scope}))
    answer = await _send(client, method, path)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert scope in answer.json()["detail"]
    assert f'scope="{scope}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(("method", "path", "scope", "status"), CALLS)
async def test_a_call_needs_nothing_beyond_its_scope(
    service: DispatcherService, tenant: Tenant, method: str, path: str, scope: str, status: int
) -> None:
    """A key with that one scope is let through."""
    client = await service.client_with(tenant.id, scopes=[scope])
    assert (await _send(client, method, path)).status_code == status


@pytest.mark.parametrize(("method", "path"), [call[:2] for call in CALLS])
async def test_an_invalid_credential_is_answered_the_same_everywhere(
    service: DispatcherService, method: str, path: str
) -> None:
    """None, malformed, unknown, revoked, of another scheme: one 401, so that it says nothing about why."""
    revoked = await _revoked_key(service)
    unknown = key_format.generate("secret", "live")
    credentials: list[dict[str, str]] = [
        {},
        {"x-api-key": ""},
        {"x-api-key": "nonsense"},
        {"x-api-key": unknown},
        {"x-api-key": unknown[:-1] + ("0" if unknown[-1] != "0" else "1")},
        {"x-api-key": revoked},
        {"x-api-key": "x" * 5000},
        {"authorization": f"Bearer {unknown}"},
        {"authorization": f"Basic {unknown}"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer a.b.c"},
    ]
    bodies = set()
    for headers in credentials:
        answer = await _send(service.client(), method, path, **headers, **{"x-request-id": "fixed"})
        assert answer.status_code == 401, headers
        error = ', error="invalid_token"' if headers else ""  # RFC 6750 §3.1
        assert answer.headers["www-authenticate"] == f'Bearer realm="causeway"{error}'
        bodies.add(answer.content)
    assert len(bodies) == 1


_REVOKED: dict[int, str] = {}


async def _revoked_key(service: DispatcherService) -> str:
    """Return a key of this service's credentials that was revoked."""
    if id(service) not in _REVOKED:
        tenant_id = await service.credentials.new_tenant()
        made = await service.credentials.new_key(tenant_id, roles=["owner"])
        headers = {"x-tenant-id": tenant_id}
        revoked = await service.credentials.platform.post(f"/v1/api-keys/{made['id']}/revoke", headers=headers)
        assert revoked.status_code == 200, revoked.text
        _REVOKED[id(service)] = made["key"]
    return _REVOKED[id(service)]


async def test_two_credentials_and_credentials_in_the_url_are_refused(tenant: Tenant) -> None:
    """400; which of two to believe is nobody's guess, and a URL is kept in logs."""
    key = tenant.owner.headers["x-api-key"]
    two = await tenant.owner.get("/v1/webhooks", headers={"authorization": f"Bearer {key}"})
    assert (two.status_code, two.json()["code"]) == (400, "multiple_credentials")
    for query in (f"api_key={key}", f"q={key}", "access_token=x", "key="):
        answer = await tenant.owner.get(f"/v1/webhooks?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "credential_in_url")
        assert key not in answer.text
