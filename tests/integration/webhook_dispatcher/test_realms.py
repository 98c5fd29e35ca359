"""Nobody sees or touches another realm's objects: a foreign one is answered exactly as a missing one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from support.dispatcher_service import DispatcherService, Tenant, payment
from support.foreign_objects import Call, check_answered_as_missing

WEBHOOK_CALLS = [
    Call(method="GET", path="/v1/webhooks/{webhook}"),
    Call(method="PATCH", path="/v1/webhooks/{webhook}", body={"name": "stolen"}),
    Call(method="DELETE", path="/v1/webhooks/{webhook}"),
    Call(method="POST", path="/v1/webhooks/{webhook}/enable", body={"pending": "skip"}),
    Call(method="POST", path="/v1/webhooks/{webhook}/disable"),
    Call(method="POST", path="/v1/webhooks/{webhook}/secret/reveal"),
    Call(method="POST", path="/v1/webhooks/{webhook}/secret/rotate", body={}),
    Call(method="POST", path="/v1/webhooks/{webhook}/test", body={"event_type": "payment.failed"}),
]
EVENT_CALLS = [Call(method="GET", path="/v1/events/{event}")]
DELIVERY_CALLS = [
    Call(method="GET", path="/v1/deliveries/{delivery}"),
    Call(method="POST", path="/v1/deliveries/{delivery}/resend"),
    Call(method="POST", path="/v1/deliveries/{delivery}/cancel"),
]
STATS_CALLS = [Call(method="GET", path="/v1/webhooks/{webhook}/stats")]
RECOVERY_CALLS = [
    Call(method="POST", path="/v1/webhooks/{webhook}/recover", body={"from": "2026-01-01T00:00:00Z"}),
    Call(method="POST", path="/v1/webhooks/{webhook}/recover", body={"from": "2026-01-01T00:00:00Z", "dry_run": True}),
    Call(method="GET", path="/v1/recoveries/{recovery}"),
    Call(method="DELETE", path="/v1/recoveries/{recovery}"),
]
CALLS = [*WEBHOOK_CALLS, *EVENT_CALLS, *DELIVERY_CALLS, *STATS_CALLS, *RECOVERY_CALLS]
MISSING = {
    "webhook": "wh_01jzzzzzzzzzzzzzzzzzzzzzzz",
    "event": "evt_01jzzzzzzzzzzzzzzzzzzzzzzz",
    "delivery": "dlv_01jzzzzzzzzzzzzzzzzzzzzzzz",
    "recovery": "rec_01jzzzzzzzzzzzzzzzzzzzzzzz",
}
MALFORMED = {
    "webhook": "wh_nonsense",
    "event": "nonsense",
    "delivery": "wh_01jzzzzzzzzzzzzzzzzzzzzzzz",
    "recovery": "rec_",
}


@dataclass(frozen=True, kw_only=True)
class Owned:
    """A tenant with one object of each kind, and what a stranger must not change."""

    tenant: Tenant
    ids: dict[str, str]


@pytest.fixture(scope="module")
async def owned(service: DispatcherService) -> AsyncIterator[Owned]:
    """Return a tenant with objects; at the end they are as they were."""
    tenant = await service.new_tenant()
    webhook = await tenant.new_webhook()
    await tenant.publish(payment("foreign"))
    (delivery,) = await tenant.deliveries()
    wanted = {"from": "2026-01-01T00:00:00Z"}
    recovery = (await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/recover", json=wanted)).json()
    before = await _everything(tenant)
    ids = {"webhook": webhook["id"], "event": "pay-foreign", "delivery": delivery["id"], "recovery": recovery["id"]}
    yield Owned(tenant=tenant, ids=ids)
    assert await _everything(tenant) == before


async def _everything(tenant: Tenant) -> list[Any]:
    paths = ("/v1/webhooks", "/v1/events", "/v1/deliveries", "/v1/ledger", "/v1/recoveries")
    return [(await tenant.owner.get(path)).json() for path in paths]


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("who", ["another tenant", "the same tenant in test"])
async def test_a_foreign_object_is_as_one_that_does_not_exist(
    service: DispatcherService, owned: Owned, call: Call, who: str
) -> None:
    """The same status, body, headers and statements as for an id that nobody has, or that is none."""
    client = owned.tenant.tester if who == "the same tenant in test" else (await service.new_tenant()).owner
    database = service.resources.database
    await check_answered_as_missing(client, database, call, foreign=owned.ids, others=(MISSING, MALFORMED))


async def test_the_owner_reaches_what_strangers_do_not(owned: Owned) -> None:
    """So the table above is not of calls that fail for everybody."""
    for call in (WEBHOOK_CALLS[0], *EVENT_CALLS, DELIVERY_CALLS[0], *STATS_CALLS, RECOVERY_CALLS[2]):
        assert (await call.send(owned.tenant.owner, owned.ids)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/webhooks", "/v1/events", "/v1/events?after=", "/v1/deliveries"])
async def test_lists_hold_the_realms_own_alone(service: DispatcherService, owned: Owned, path: str) -> None:
    """Empty for a stranger and in the other environment, whatever is filtered by."""
    stranger = await service.new_tenant()
    assert len((await owned.tenant.owner.get(path)).json()["data"]) == 1
    for client in (owned.tenant.tester, stranger.owner, stranger.tester):
        assert (await client.get(path)).json()["data"] == []
    filtered = await stranger.owner.get("/v1/deliveries", params={"webhook_id": owned.ids["webhook"]})
    assert filtered.json()["data"] == []


async def test_events_go_to_webhooks_of_their_own_realm(service: DispatcherService) -> None:
    """A test event never reaches a live webhook, nor one of another tenant."""
    one, other = await service.new_tenant(), await service.new_tenant()
    live = await one.new_webhook()
    test = await one.new_webhook(client=one.tester)
    await other.new_webhook()
    assert (live["environment"], test["environment"]) == ("live", "test")
    await one.publish(payment(1), client=one.tester)
    assert await one.deliveries() == []
    (owed,) = await one.deliveries(client=one.tester)
    assert (owed["webhook_id"], owed["environment"]) == (test["id"], "test")
    assert await other.deliveries() == []
    await one.publish(payment(1))
    assert [item["webhook_id"] for item in await one.deliveries()] == [live["id"]]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-tenant-id": "ten_01jzzzzzzzzzzzzzzzzzzzzzzz"}, 403, "tenant_mismatch"),
        ({"x-environment": "test"}, 403, "tenant_mismatch"),
        ({"x-environment": "prod"}, 400, "malformed_header"),
        ({"x-tenant-id": "acme"}, 400, "malformed_header"),
    ],
)
async def test_a_tenants_key_acts_in_its_own_realm_alone(
    tenant: Tenant, headers: dict[str, str], status: int, code: str
) -> None:
    """Naming another realm is refused, not ignored."""
    answer = await tenant.owner.get("/v1/webhooks", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    own = {"x-tenant-id": tenant.id, "x-environment": "live"}
    assert (await tenant.owner.get("/v1/webhooks", headers=own)).status_code == 200


async def test_an_idempotency_key_belongs_to_its_realm(service: DispatcherService) -> None:
    """Another tenant's key of the same text is another key."""
    body = {"name": "x", "url": "https://hooks.example.com/", "events": ["*"]}
    made = set()
    for client in [
        each
        for tenant in (await service.new_tenant(), await service.new_tenant())
        for each in (tenant.owner, tenant.tester)
    ]:
        answer = await client.post("/v1/webhooks", json=body, headers={"idempotency-key": "same"})
        assert "idempotency-replayed" not in answer.headers
        made.add(answer.json()["id"])
    assert len(made) == 4
