"""Many publishers at the same time: exactly one event per id, and its deliveries exactly once."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from shared import typeids
from shared.access import Realm
from support.dispatcher_service import DispatcherService, Tenant, payment, withdrawal
from webhook_dispatcher.events.event import Event, parse_published
from webhook_dispatcher.events.service import EventAcceptance

PUBLISHERS = 20


async def _together(tenant: Tenant, batches: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return await asyncio.gather(*(tenant.publish(*batch) for batch in batches))


async def test_the_same_events_from_twenty_publishers_are_accepted_once(
    tenant: Tenant, service: DispatcherService
) -> None:
    """Whatever order each sends them in: one event per id, one delivery per webhook, and every answer is right."""
    webhooks = [await tenant.new_webhook(trigger="every") for _ in range(3)]
    events = [*(payment(number) for number in range(50)), *(withdrawal(number) for number in range(50))]
    shuffle = random.Random(7).sample
    answers = await _together(tenant, [shuffle(events, len(events)) for _ in range(PUBLISHERS)])
    assert sum(answer["accepted"] for answer in answers) == len(events)
    assert sum(answer["duplicates"] for answer in answers) == len(events) * (PUBLISHERS - 1)
    rows = await service.rows(
        "SELECT e.event_id, e.matched, count(d.id) AS owed, count(DISTINCT d.webhook_id) AS webhooks"
        " FROM events e LEFT JOIN deliveries d ON d.event = e.id WHERE e.tenant_id = :tenant GROUP BY 1, 2",
        tenant=typeids.decode("ten", tenant.id),
    )
    assert len(rows) == len(events)
    assert {(row.matched, row.owed, row.webhooks) for row in rows} == {(3, 3, 3)}
    ledger = await tenant.ledger()
    assert (ledger["accepted"], ledger["matched"], ledger["balanced"]) == (100, 300, True)
    assert len(await tenant.deliveries(webhook_id=webhooks[0]["id"])) == 100


async def test_first_is_one_delivery_however_many_publish_at_once(tenant: Tenant, service: DispatcherService) -> None:
    """Per webhook, function and subject, with different event ids for each publisher."""
    for _ in range(2):
        await tenant.new_webhook(trigger="first")
    batches = [
        [
            withdrawal(f"{publisher}-{subject}", subject=f"s{subject}")
            for subject in random.Random(publisher).sample(range(20), 20)
        ]
        for publisher in range(PUBLISHERS)
    ]
    answers = await _together(tenant, batches)
    assert sum(answer["accepted"] for answer in answers) == 20 * PUBLISHERS
    rows = await service.rows(
        "SELECT d.webhook_id, e.subject, count(*) AS owed FROM deliveries d JOIN events e ON e.id = d.event"
        " WHERE d.tenant_id = :tenant GROUP BY 1, 2",
        tenant=typeids.decode("ten", tenant.id),
    )
    assert len(rows) == 2 * 20
    assert {row.owed for row in rows} == {1}
    ledger = await tenant.ledger()
    assert (ledger["matched"], ledger["pending"], ledger["balanced"]) == (40, 40, True)


def _events(tenant: Tenant, *wanted: dict[str, Any]) -> list[Event]:
    realm = Realm(tenant_id=typeids.decode("ten", tenant.id), environment="live")
    return parse_published(orjson.dumps({"events": list(wanted)}), realm=realm, now=datetime.now(UTC))


async def test_another_process_sees_a_changed_webhook_at_once(tenant: Tenant, service: DispatcherService) -> None:
    """Each process keeps a picture of a realm's webhooks; an old one is never used, not for a single event."""
    other = EventAcceptance(service.resources.database)

    async def owed(number: int) -> int:
        accepted = await other.accept(_events(tenant, payment(number)), in_turn=True)
        assert accepted.accepted == 1
        return len(accepted.webhooks)

    assert await owed(1) == 0
    webhook = await tenant.new_webhook(events=["kyc.*"])
    assert await owed(2) == 0
    path = f"/v1/webhooks/{webhook['id']}"
    await tenant.owner.patch(path, json={"events": ["payment.*"]})
    assert await owed(3) == 1
    await tenant.owner.post(f"{path}/disable")
    assert await owed(4) == 1
    second = await tenant.new_webhook(events=["*"])
    assert await owed(5) == 2
    await tenant.owner.delete(path)
    assert await owed(6) == 1
    await tenant.owner.patch(f"/v1/webhooks/{second['id']}", json={"events": ["payment.failed"]})
    assert await owed(7) == 0
    assert (await tenant.ledger())["balanced"] is True


async def test_events_published_while_webhooks_change_owe_what_stood_at_their_moment(tenant: Tenant) -> None:
    """Publishers and a busy administrator at once: nothing fails, nothing is owed twice, the ledger balances."""
    webhooks = [await tenant.new_webhook() for _ in range(2)]

    async def administer() -> None:
        for round_ in range(10):
            made = await tenant.new_webhook(name=f"round {round_}")
            await tenant.owner.patch(f"/v1/webhooks/{webhooks[0]['id']}", json={"name": f"round {round_}"})
            await tenant.owner.delete(f"/v1/webhooks/{made['id']}")

    batches = [[payment(f"{publisher}-{number}") for number in range(20)] for publisher in range(PUBLISHERS)]
    answers, _ = await asyncio.gather(_together(tenant, batches), administer())
    assert sum(answer["accepted"] for answer in answers) == 20 * PUBLISHERS
    ledger = await tenant.ledger()
    assert (ledger["accepted"], ledger["balanced"]) == (400, True)
    for webhook in webhooks:
        assert (await tenant.ledger(webhook_id=webhook["id"]))["matched"] == 400


@pytest.mark.parametrize("environment", ["live", "test"])
async def test_the_same_id_in_two_realms_is_two_events(service: DispatcherService, environment: str) -> None:
    """Ids are unique per tenant and environment."""
    tenants = [await service.new_tenant() for _ in range(2)]
    clients = [tenant.owner if environment == "live" else tenant.tester for tenant in tenants]
    for tenant, client in zip(tenants, clients, strict=True):
        assert (await tenant.publish(payment(1), client=client))["accepted"] == 1
        assert (await tenant.publish(payment(1), client=client))["duplicates"] == 1


async def test_single_events_at_once_are_each_answered_for_themselves(tenant: Tenant) -> None:
    """They share statements: of twenty publishers of an id one accepted it, faults are their senders', and all is counted."""
    await tenant.new_webhook(trigger="every")
    await tenant.publish(payment("warm"))

    async def publish(event: dict[str, Any]) -> tuple[int, Any]:
        answer = await tenant.publisher.post("/v1/events", json=event)
        told = answer.json()
        return answer.status_code, told.get("code") or (told["accepted"], told["duplicates"], told["ids"])

    events = [payment(number) for number in range(30) for _ in range(PUBLISHERS)]
    bad = [payment(number, type="no.such.type") for number in range(30)]
    shuffled = random.Random(3).sample([*events, *bad], len(events) + len(bad))
    answers = await asyncio.gather(*(publish(event) for event in shuffled))
    for event, (status, told) in zip(shuffled, answers, strict=True):
        if event in bad:
            assert (status, told) == (422, "unknown_event_type")
        else:
            assert status == 202
            assert told in ((1, 0, [event["id"]]), (0, 1, [event["id"]]))
    accepted = [told[2][0] for status, told in answers if status == 202 and told[0]]
    assert sorted(accepted) == sorted({event["id"] for event in events})
    ledger = await tenant.ledger()
    assert (ledger["accepted"], ledger["matched"], ledger["balanced"]) == (31, 31, True)
