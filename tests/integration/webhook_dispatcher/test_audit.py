"""Each change writes its audit entry, in its own transaction, with who, what and from where, and no secret."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from shared import typeids
from shared.audit_entries.tasks import forget_entries
from support.dispatcher_service import URL, DispatcherService, Tenant, payment


async def _entries(service: DispatcherService, tenant: Tenant) -> list[Any]:
    return list(
        await service.rows(
            "SELECT action, actor, target, environment, request_id, host(ip) AS ip, changes FROM audit_entries"
            " WHERE tenant_id = :tenant ORDER BY id",
            tenant=typeids.decode("ten", tenant.id),
        )
    )


async def test_each_mutation_is_written_down(tenant: Tenant, service: DispatcherService) -> None:
    """In the order they were made, one entry for each."""
    secret = "whsec_" + "QUJD" * 8
    webhook = await tenant.new_webhook(secret=secret, headers={"X-Token": "canary"})
    await tenant.publish(payment(1), payment(2))
    owed = {item["event_id"]: item for item in await tenant.deliveries()}
    first, second = owed["pay-1"], owed["pay-2"]
    path = f"/v1/webhooks/{webhook['id']}"
    calls: list[tuple[str, str, Any]] = [
        ("PATCH", path, {"name": "new", "headers": {"X-Token": "canary-2"}}),
        ("POST", f"{path}/secret/reveal", None),
        ("POST", f"{path}/secret/rotate", {"overlap_seconds": 60}),
        ("POST", f"{path}/test", {"event_type": "payment.failed"}),
        ("POST", f"/v1/deliveries/{first['id']}/resend", None),
        ("POST", f"/v1/deliveries/{second['id']}/cancel", None),
        ("POST", f"{path}/disable", None),
        ("POST", f"{path}/enable", {"pending": "skip"}),
        ("DELETE", path, None),
    ]
    for method, target, body in calls:
        answer = await tenant.owner.request(method, target, json=body, headers={"x-request-id": f"r-{method}"})
        assert answer.is_success, answer.text
    entries = await _entries(service, tenant)
    assert [(entry.action, entry.target) for entry in entries] == [
        *((action, webhook["id"]) for action in ("webhook.created", "webhook.changed", "webhook.secret_revealed")),
        *((action, webhook["id"]) for action in ("webhook.secret_rotated", "webhook.tested")),
        *(("delivery.resent", first["id"]), ("delivery.cancelled", second["id"])),
        *((action, webhook["id"]) for action in ("webhook.disabled", "webhook.enabled", "webhook.deleted")),
    ]
    assert {entry.actor for entry in entries} == {webhook["created_by"]}
    assert {(entry.environment, entry.ip) for entry in entries} == {("live", "127.0.0.1")}
    assert (entries[1].request_id, entries[-1].request_id) == ("r-PATCH", "r-DELETE")
    assert entries[1].changes == {"name": "new", "headers": ["X-Token"]}
    assert entries[5].changes == {"webhook_id": webhook["id"], "event_id": "pay-1"}
    # The test event and the resent delivery were held; `skip` cancelled both.
    assert entries[8].changes == {"deliveries_cancelled": 2}
    assert "canary" not in str(entries)
    assert secret not in str(entries)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/webhooks", {"name": "x", "url": "https://127.0.0.1/", "events": ["*"]}),
        ("POST", "/v1/webhooks", {"name": "x", "url": URL, "events": ["*"], "secret": "too short to be one"}),
        ("PATCH", "/v1/webhooks/{webhook}", {"url": "https://localhost/"}),
        ("POST", "/v1/webhooks/{webhook}/test", {"event_type": "nope"}),
        ("POST", "/v1/webhooks/{webhook}/secret/rotate", {"secret": "too short to be one"}),
        ("POST", "/v1/deliveries/{delivery}/cancel", None),
        ("POST", "/v1/webhooks/wh_01jzzzzzzzzzzzzzzzzzzzzzzz/disable", None),
    ],
)
async def test_what_was_refused_leaves_no_entry(
    tenant: Tenant, service: DispatcherService, method: str, path: str, body: Any
) -> None:
    """An entry says that something happened."""
    webhook = await tenant.new_webhook()
    await tenant.publish(payment(1))
    (delivery,) = await tenant.deliveries()
    await service.finish(delivery["id"], status="delivered")
    before = await _entries(service, tenant)
    target = path.format(webhook=webhook["id"], delivery=delivery["id"])
    answer = await tenant.owner.request(method, target, json=body)
    assert 400 <= answer.status_code < 500, answer.text
    assert await _entries(service, tenant) == before


async def test_a_replayed_creation_is_written_down_once(tenant: Tenant, service: DispatcherService) -> None:
    """The second answer is a memory, not a change."""
    for _ in range(2):
        body, headers = {"name": "x", "url": URL, "events": ["*"]}, {"idempotency-key": "once"}
        assert (await tenant.owner.post("/v1/webhooks", json=body, headers=headers)).status_code == 201
    assert [entry.action for entry in await _entries(service, tenant)] == ["webhook.created"]


async def test_entries_are_kept_for_as_long_as_the_settings_say(tenant: Tenant, service: DispatcherService) -> None:
    """What is older goes, however much that is; what is younger stays."""
    webhook = await tenant.new_webhook()
    kept_days = 100
    old = typeids.lower_bound(datetime.now(UTC) - timedelta(days=kept_days, hours=1))
    young = typeids.lower_bound(datetime.now(UTC) - timedelta(days=kept_days, hours=-1))
    for first, count in ((old, 5_001), (young, 3)):
        await service.rows(
            "INSERT INTO audit_entries (id, tenant_id, environment, action, actor, target, request_id)"
            " SELECT CAST(left(CAST(CAST(:first AS uuid) AS text), 24) || lpad(to_hex(n), 12, '0') AS uuid),"
            " CAST(:tenant AS uuid), 'live', 'x', 'x', CAST(:target AS text), 'x' FROM generate_series(1, CAST(:count AS int)) n",
            first=first,
            tenant=typeids.decode("ten", tenant.id),
            target=webhook["id"],
            count=count,
        )
    resources = SimpleNamespace(database=service.resources.database, settings=SimpleNamespace(audit_days=kept_days))
    await forget_entries({"resources": resources})
    assert [entry.action for entry in await _entries(service, tenant)] == ["x", "x", "x", "webhook.created"]
