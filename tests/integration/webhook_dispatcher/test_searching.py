"""Searching history: complete ids find just what they name, parts find what holds them, also in answers."""

from typing import Any

import pytest

from shared import typeids
from support.dispatcher_service import DispatcherService, Tenant, payment, withdrawal


async def _found(tenant: Tenant, **filters: Any) -> set[str]:
    return {item["event_id"] for item in await tenant.deliveries(**filters)}


async def test_answers_are_searched(tenant: Tenant, service: DispatcherService) -> None:
    """In any letter case, also where they are no text; attempts of what waits for a retry as well."""
    await tenant.new_webhook()
    await tenant.publish(*(payment(number) for number in range(3)))
    bodies = [b"Error 4711: Account CLOSED", b"\xff\xfe\x00 half \xc3\xa4 text \\ 100%", b"fine"]
    for delivery, body in zip(
        sorted(await tenant.deliveries(), key=lambda item: item["event_id"]), bodies, strict=True
    ):
        await service.rows(
            "INSERT INTO attempts (delivery_id, number, id, started_at, outcome, response_body)"
            " VALUES (:id, 1, uuidv7(), now(), 'failed', :body)",
            id=typeids.decode("dlv", delivery["id"]),
            body=body,
        )
    assert await _found(tenant, q="account closed") == {"pay-0"}
    assert await _found(tenant, q="4711", status="pending") == {"pay-0"}
    assert await _found(tenant, q="4711", status="delivered") == set()
    for part in ("HALF", "ä text", "\\ 100%"):
        assert await _found(tenant, q=part) == {"pay-1"}
    assert await _found(tenant, q="%") == {"pay-1"}
    assert await _found(tenant, q="_") == set()


async def test_a_complete_id_finds_just_that(tenant: Tenant, service: DispatcherService) -> None:
    """Of an event, which may be part of another one's, and of a delivery; of another realm's nothing."""
    webhooks = [await tenant.new_webhook(), await tenant.new_webhook()]
    await tenant.publish(payment(1), payment(10))
    assert await _found(tenant, q="pay-1") == {"pay-1"}
    assert await _found(tenant, q="PAY-1") == {"pay-1", "pay-10"}
    assert await _found(tenant, event_id="pay-10") == {"pay-10"}
    assert await _found(tenant, event_id="pay-10", q="nothing") == set()
    assert await _found(tenant, event_id="pay-1000") == set()
    one = (await tenant.deliveries(event_id="pay-1", webhook_id=webhooks[0]["id"]))[0]
    assert [item["id"] for item in await tenant.deliveries(q=one["id"])] == [one["id"]]
    other = await service.new_tenant()
    assert await other.deliveries(q=one["id"]) == []
    assert await other.deliveries(webhook_id=webhooks[0]["id"]) == []
    listed = (await tenant.owner.get("/v1/events", params={"q": "pay-1"})).json()["data"]
    assert [item["id"] for item in listed] == ["pay-1"]
    listed = (await tenant.owner.get("/v1/events", params={"q": "AY-1"})).json()["data"]
    assert [item["id"] for item in listed] == ["pay-10", "pay-1"]


@pytest.mark.parametrize("filters", [{}, {"subject": "subject-x"}, {"q": "wr-"}, {"status": "pending"}])
async def test_pages_follow_one_another_without_gaps(tenant: Tenant, filters: dict[str, str]) -> None:
    """Over several webhooks, with and without filters: everything once, newest first."""
    for _ in range(3):
        await tenant.new_webhook(trigger="every")
    await tenant.publish(*(withdrawal(number, subject="subject-x") for number in range(5)))
    pages: list[str] = []
    query: dict[str, Any] = {"limit": 4, **filters}
    while True:
        page = (await tenant.owner.get("/v1/deliveries", params=query)).json()
        pages += [item["id"] for item in page["data"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(pages) == len(set(pages)) == 15
    assert pages == sorted(pages, reverse=True)
