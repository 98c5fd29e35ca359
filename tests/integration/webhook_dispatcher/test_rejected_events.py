"""Rejected events: who sees which, and how they are accepted after a fix. The intake's part is written down by hand here."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from shared import typeids
from support.dispatcher_service import DispatcherService, Tenant, payment
from webhook_dispatcher.events.event import EVENT_BYTES_MAX
from webhook_dispatcher.rejected_events import service as rules
from webhook_dispatcher.rejected_events.rejection import Rejection
from webhook_dispatcher.rejected_events.service import RejectedEvents

_entries = iter(range(1, 1_000_000))


async def _reject(
    service: DispatcherService, entry: dict[str, Any] | bytes, *, reason: str = "invalid_event"
) -> Rejection:
    """Keep an entry as the intake does."""
    number = next(_entries)
    rejection = Rejection(
        source="causeway:events",
        entry_id=f"{number}-0",
        reason=reason,
        detail="/data: a JSON object is required",
        body=entry if isinstance(entry, bytes) else json.dumps(entry).encode(),
        default_event_id=f"evt_default_{number}",
    )
    await RejectedEvents(service.resources.database).keep([rejection])
    return rejection


def _of(tenant: Tenant, **fields: Any) -> dict[str, Any]:
    return {"tenant_id": tenant.id, "type": "payment.succeeded", "data": {"amount": "1.10"}, **fields}


async def _listed(client: httpx2.AsyncClient, **filters: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/rejected-events", params=filters)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


async def _replay(
    client: httpx2.AsyncClient,
    rejected_id: str,
    content: str | bytes | None = None,
    *,
    status: int = 202,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    answer = await client.post(
        f"/v1/rejected-events/{rejected_id}/replay",
        content=content,
        headers={"content-type": "application/json", **(headers or {})},
    )
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture
async def platform(service: DispatcherService) -> httpx2.AsyncClient:
    """Return a client with a service credential of the platform, which names no tenant."""
    scopes = ["events:read", "events:publish"]
    return service.client((await service.credentials.new_key(None, kind="service", scopes=scopes))["key"])


async def test_a_rejected_entry_is_shown_to_its_tenant_alone(tenant: Tenant, service: DispatcherService) -> None:
    """With why, where it came from and what it says of itself; with its body when it is asked for."""
    entry = _of(tenant, id="pay-1", data=[1])
    rejection = await _reject(service, entry)
    (shown,) = await _listed(tenant.owner)
    assert shown["id"].startswith("rej_")
    assert {name: shown[name] for name in ("source", "entry_id", "reason", "detail", "event_id", "event_type")} == {
        "source": "causeway:events",
        "entry_id": rejection.entry_id,
        "reason": "invalid_event",
        "detail": "/data: a JSON object is required",
        "event_id": "pay-1",
        "event_type": "payment.succeeded",
    }
    assert (shown["complete"], shown["replayed_at"], shown["replayed_event_id"]) == (True, None, None)
    one = (await tenant.owner.get(f"/v1/rejected-events/{shown['id']}")).json()
    assert one == {**shown, "body": json.dumps(entry)}
    other = await service.new_tenant()
    for client in (tenant.tester, other.owner):
        assert await _listed(client) == []
        assert (await client.get(f"/v1/rejected-events/{shown['id']}")).status_code == 404
        assert (await _replay(client, shown["id"], status=404))["code"] == "not_found"


async def test_an_entry_of_no_readable_tenant_is_the_platforms(
    tenant: Tenant, service: DispatcherService, platform: httpx2.AsyncClient
) -> None:
    """Seen and replayed by its credentials alone, into the realm that they name."""
    await _reject(service, b'{"tenant_id":"ten_x","type":"payment.succeeded","data":{}}')
    (shown,) = await _listed(platform, limit=1)
    assert shown["event_type"] == "payment.succeeded"
    assert await _listed(tenant.owner) == []
    assert (await tenant.owner.get(f"/v1/rejected-events/{shown['id']}")).status_code == 404
    await _replay(tenant.owner, shown["id"], status=404)
    await _replay(platform, shown["id"], status=400)
    told = await _replay(platform, shown["id"], headers={"x-tenant-id": tenant.id})
    assert (await tenant.owner.get(f"/v1/events/{told['ids'][0]}")).status_code == 200
    await _reject(service, _of(tenant, id="named"))
    assert [row["event_id"] for row in await _listed(platform, limit=1)] != ["named"]
    named = await platform.get("/v1/rejected-events", headers={"x-tenant-id": tenant.id})
    assert [row["event_id"] for row in named.json()["data"]] == ["named"]


async def test_a_platform_credential_of_test_names_its_tenant(service: DispatcherService) -> None:
    """What belongs to nobody may be live."""
    key = await service.credentials.new_key(None, kind="service", scopes=["events:read"], environment="test")
    answer = await service.client(key["key"]).get("/v1/rejected-events")
    assert (answer.status_code, answer.json()["code"]) == (400, "tenant_required")


async def test_lists_are_filtered(tenant: Tenant, service: DispatcherService) -> None:
    """By reason, type, time and whether they were replayed; newest first, page by page."""
    for number in range(3):
        await _reject(
            service, _of(tenant, id=f"e{number}"), reason="internal_error" if number == 1 else "invalid_event"
        )
    await _reject(service, _of(tenant, id="e3", type="kyc.rejected"))

    async def ids(**filters: Any) -> list[str]:
        return [row["event_id"] for row in await _listed(tenant.owner, **filters)]

    assert await ids() == ["e3", "e2", "e1", "e0"]
    assert await ids(reason="internal_error") == ["e1"]
    assert await ids(type="kyc.rejected") == ["e3"]
    later = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    assert await ids(**{"from": later}) == []
    assert await ids(to=later, reason="invalid_event") == ["e3", "e2", "e0"]
    page = (await tenant.owner.get("/v1/rejected-events", params={"limit": 3})).json()
    assert await ids(cursor=page["next_cursor"]) == ["e0"]
    await _replay(tenant.owner, (await _listed(tenant.owner, reason="internal_error"))[0]["id"])
    assert await ids(replayed="true") == ["e1"]
    assert await ids(replayed="false") == ["e3", "e2", "e0"]


async def test_an_entry_is_replayed_as_it_was(tenant: Tenant, service: DispatcherService) -> None:
    """After a fault of ours: under its own id, with its bytes, owed to the webhooks of now; once."""
    webhook = await tenant.new_webhook()
    body = f'{{"tenant_id":"{tenant.id}", "id":"was-1","type":"payment.succeeded","data":{{"n": 1.10}}}}'
    await _reject(service, body.encode(), reason="internal_error")
    (shown,) = await _listed(tenant.owner)
    told = await _replay(tenant.owner, shown["id"], "{}")
    assert told == {"accepted": 1, "duplicates": 0, "ids": ["was-1"]}
    event = (await tenant.owner.get("/v1/events/was-1")).json()
    assert event["body"].endswith('"data":{"n": 1.10}}')
    assert [item["webhook_id"] for item in event["deliveries"]] == [webhook["id"]]
    assert (await _replay(tenant.owner, shown["id"], status=409))["code"] == "rejected_event_replayed"
    (after,) = await _listed(tenant.owner)
    assert (after["replayed_event_id"], after["replayed_by"]) == ("was-1", webhook["created_by"])
    assert after["replayed_at"].endswith("Z")


async def test_an_entry_is_replayed_corrected(tenant: Tenant, service: DispatcherService) -> None:
    """What is still wrong is pointed at and changes nothing; the correction without an id is the entry's event."""
    rejection = await _reject(service, _of(tenant, data=[1]))
    (shown,) = await _listed(tenant.owner)
    still_wrong = await _replay(tenant.owner, shown["id"], status=422)
    assert (still_wrong["code"], still_wrong["errors"][0]["pointer"]) == ("invalid_event", "/data")
    for body, pointer in [
        (json.dumps({"type": "payment.succeeded", "data": 1}), "/data"),
        (json.dumps(_of(tenant)), "/tenant_id"),
        (json.dumps({"events": [payment(1)]}), "/events"),
        ('{"type":', ""),
        ('{"type":"nope","data":{}}', "/type"),
    ]:
        refused = await _replay(tenant.owner, shown["id"], body, status=422)
        assert refused["errors"][0]["pointer"] == pointer
    told = await _replay(tenant.owner, shown["id"], '{"type":"payment.succeeded","data":{}}')
    assert told["ids"] == [rejection.default_event_id]


async def test_an_event_that_was_sent_again_meanwhile_is_a_duplicate(
    tenant: Tenant, service: DispatcherService
) -> None:
    """The publisher's own fix and the replay make one event."""
    await _reject(service, _of(tenant, id="pay-7"), reason="unknown_event_type")
    await tenant.publish(payment(7))
    (shown,) = await _listed(tenant.owner)
    assert await _replay(tenant.owner, shown["id"]) == {"accepted": 0, "duplicates": 1, "ids": ["pay-7"]}


async def test_an_entry_too_large_is_replayed_only_corrected(tenant: Tenant, service: DispatcherService) -> None:
    """It is not kept whole, so it cannot be what it was; its tenant is known all the same."""
    await _reject(service, _of(tenant, data={"x": "x" * EVENT_BYTES_MAX}), reason="event_too_large")
    (shown,) = await _listed(tenant.owner)
    assert (shown["complete"], shown["size_bytes"] > EVENT_BYTES_MAX) == (False, True)
    assert len((await tenant.owner.get(f"/v1/rejected-events/{shown['id']}")).json()["body"]) == 16 * 1024
    assert (await _replay(tenant.owner, shown["id"], status=409))["code"] == "rejected_event_incomplete"
    await _replay(tenant.owner, shown["id"], json.dumps(payment("small")))


async def test_a_repeated_replay_is_answered_again(tenant: Tenant, service: DispatcherService) -> None:
    """With the same Idempotency-Key the first answer, with another body 422."""
    await _reject(service, _of(tenant, id="again"))
    (shown,) = await _listed(tenant.owner)
    key = {"idempotency-key": "replay-1"}
    first = await _replay(tenant.owner, shown["id"], headers=key)
    assert await _replay(tenant.owner, shown["id"], headers=key) == first
    assert (await _replay(tenant.owner, shown["id"], "[]", status=422, headers=key))["code"] == "idempotency_mismatch"


async def test_a_replay_is_audited_with_the_event(tenant: Tenant, service: DispatcherService) -> None:
    """Who replayed what, and whether it was corrected; a refused one leaves nothing."""
    await _reject(service, _of(tenant, id="aud-1", data=[]))
    (shown,) = await _listed(tenant.owner)
    await _replay(tenant.owner, shown["id"], status=422)
    await _replay(tenant.owner, shown["id"], json.dumps({"id": "aud-1", "type": "payment.succeeded", "data": {}}))
    (entry,) = await service.rows(
        "SELECT action, target, changes FROM audit_entries WHERE tenant_id = :tenant",
        tenant=typeids.decode("ten", tenant.id),
    )
    assert (entry.action, entry.target) == ("rejected_event.replayed", shown["id"])
    assert entry.changes == {"event_id": "aud-1", "corrected": True, "reason": "invalid_event", "accepted": 1}


async def test_of_a_flood_the_newest_are_kept_and_no_other_tenant_pays(
    tenant: Tenant, service: DispatcherService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each realm has limits of its own, by number and by bytes."""
    quiet = await service.new_tenant()
    await _reject(service, _of(quiet, id="quiet"))
    monkeypatch.setattr(rules, "ROWS_MAX", 5)
    for number in range(8):
        await _reject(service, _of(tenant, id=f"f{number}"))
    assert [row["event_id"] for row in await _listed(tenant.owner)] == ["f7", "f6", "f5", "f4", "f3"]
    monkeypatch.setattr(rules, "BYTES_MAX", 2_500)
    await _reject(service, _of(tenant, id="large", data={"x": "x" * 2_000}))
    kept = [row["event_id"] for row in await _listed(tenant.owner)]
    assert (kept[:2], len(kept) < 5) == (["large", "f7"], True)
    assert [row["event_id"] for row in await _listed(quiet.owner)] == ["quiet"]
