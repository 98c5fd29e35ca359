"""What one realm can make the others wait for is bounded: its webhooks, and the deliveries of a request."""

import asyncio
from typing import Any

from shared import typeids
from support.dispatcher_service import URL, DispatcherService, Tenant, payment
from webhook_dispatcher.events.service import DELIVERIES_OF_A_REQUEST_MAX
from webhook_dispatcher.webhooks.service import WEBHOOKS_MAX

_COPY = """
    INSERT INTO webhooks (id, tenant_id, environment, lane, name, url, events, trigger, format, crm_signature,
        retry_delays_seconds, timeout_seconds, max_in_flight, status, created_by)
    SELECT uuidv7(), tenant_id, environment, lane, name, url, events, trigger, format, crm_signature,
        retry_delays_seconds, timeout_seconds, max_in_flight, status, created_by
    FROM webhooks, generate_series(1, :copies)
    WHERE id = :id
"""


async def _fill(service: DispatcherService, tenant: Tenant, webhooks: int) -> None:
    """Give the tenant so many webhooks, the first one by the API."""
    made = await tenant.new_webhook()
    await service.rows(_COPY, copies=webhooks - 1, id=typeids.decode("wh", made["id"]))


async def _register(tenant: Tenant, **fields: Any) -> tuple[int, str]:
    answer = await tenant.owner.post("/v1/webhooks", json={"name": "x", "url": URL, "events": ["*"], **fields})
    return answer.status_code, answer.json().get("code", "")


async def test_a_realm_has_so_many_webhooks_however_many_are_registered_at_once(
    service: DispatcherService, tenant: Tenant
) -> None:
    """Ten at once where five fit: five are made. Deleting makes room; the other environment has its own."""
    await _fill(service, tenant, WEBHOOKS_MAX - 5)
    answers = await asyncio.gather(*(_register(tenant) for _ in range(10)))
    assert sorted(answers) == [(201, "")] * 5 + [(409, "webhook_limit_reached")] * 5
    await tenant.new_webhook(client=tenant.tester)
    newest = (await tenant.owner.get("/v1/webhooks", params={"limit": 1})).json()["data"][0]
    assert (await tenant.owner.delete(f"/v1/webhooks/{newest['id']}")).status_code == 204
    assert await _register(tenant) == (201, "")
    assert await _register(tenant) == (409, "webhook_limit_reached")


async def test_a_request_that_would_owe_too_many_deliveries_is_refused(
    service: DispatcherService, tenant: Tenant
) -> None:
    """Whole, with and without an Idempotency-Key; fewer events are accepted."""
    await _fill(service, tenant, WEBHOOKS_MAX)
    too_many = {"events": [payment(number) for number in range(DELIVERIES_OF_A_REQUEST_MAX // WEBHOOKS_MAX + 1)]}
    for headers in ({}, {"idempotency-key": "k1"}):
        answer = await tenant.publisher.post("/v1/events", json=too_many, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "too_many_deliveries"), answer.text
    assert (await tenant.ledger())["accepted"] == 0
    assert (await tenant.publish(payment(1), payment(2)))["accepted"] == 2
    assert (await tenant.ledger())["matched"] == 2 * WEBHOOKS_MAX
