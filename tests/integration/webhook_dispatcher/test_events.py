"""Reading events: one with its deliveries, lists by filter, and all since a cursor."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.dispatcher_service import Tenant, payment, withdrawal
from support.engine import until


async def _page(tenant: Tenant, **params: Any) -> dict[str, Any]:
    answer = await tenant.owner.get("/v1/events", params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def _ids(tenant: Tenant, **params: Any) -> list[str]:
    return [event["id"] for event in (await _page(tenant, **params))["data"]]


async def test_an_event_is_shown_as_it_was_published(tenant: Tenant) -> None:
    """With the body that deliveries send, and every delivery it owes."""
    webhooks = [await tenant.new_webhook(), await tenant.new_webhook()]
    await tenant.publish(withdrawal(1, occurred_at="2026-07-01T14:00:00.25+02:00"))
    shown = (await tenant.owner.get("/v1/events/wr-1")).json()
    deliveries = shown.pop("deliveries")
    assert shown == {
        "id": "wr-1",
        "type": "withdrawal.approved.node.1",
        "subject": "subject-1",
        "environment": "live",
        "occurred_at": "2026-07-01T12:00:00.250000Z",
        "test": False,
        "matched": 2,
        "redacted_at": None,
        "data": {"id": "r1", "withdrawal_amount": "250.00"},
        "body": '{"id":"wr-1","type":"withdrawal.approved.node.1","timestamp":"2026-07-01T12:00:00.250000Z",'
        '"subject":"subject-1","data":{"id":"r1","withdrawal_amount":"250.00"}}',
    }
    assert {item["webhook_id"] for item in deliveries} == {webhook["id"] for webhook in webhooks}
    assert {item["event_id"] for item in deliveries} == {"wr-1"}


@pytest.mark.parametrize(
    "event_id", ["nope", "evt_00000000000000000000000000", "%20", "a%2Fb", "%F0%9F%98%80", "x" * 2000]
)
async def test_an_unknown_event_is_not_found(tenant: Tenant, event_id: str) -> None:
    """404, whatever the id looks like."""
    answer = await tenant.owner.get(f"/v1/events/{event_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_lists_are_filtered(tenant: Tenant) -> None:
    """By type, subject, part of id, type or subject, and time; filters add up."""
    await tenant.publish(
        payment(1), withdrawal(2), withdrawal(3, type="withdrawal.rejected"), payment(4, subject="Zoë")
    )
    assert await _ids(tenant) == ["pay-4", "wr-3", "wr-2", "pay-1"]
    assert await _ids(tenant, type="withdrawal.rejected") == ["wr-3"]
    assert await _ids(tenant, type="withdrawal.*") == []
    assert await _ids(tenant, subject="subject-2") == ["wr-2"]
    assert await _ids(tenant, q="WR-") == ["wr-3", "wr-2"]
    assert await _ids(tenant, q="rejected") == ["wr-3"]
    assert await _ids(tenant, q="zoë") == ["pay-4"]
    assert await _ids(tenant, q="%") == []
    assert await _ids(tenant, q="wr-", type="withdrawal.rejected", subject="subject-2") == []
    now = datetime.now(UTC)
    assert len(await _ids(tenant, **{"from": (now - timedelta(minutes=5)).isoformat()})) == 4
    assert await _ids(tenant, **{"from": (now + timedelta(minutes=5)).isoformat()}) == []
    assert await _ids(tenant, to=(now - timedelta(minutes=5)).isoformat()) == []
    assert len(await _ids(tenant, **{"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"})) == 4


async def test_pages_go_back_in_time_and_are_stable_under_inserts(tenant: Tenant) -> None:
    """Every event once, although more are published meanwhile."""
    await tenant.publish(*(payment(number) for number in range(5)))
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = await _page(tenant, **params)
        seen += [event["id"] for event in page["data"]]
        await tenant.publish(payment(f"later-{len(seen)}"))
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == [f"pay-{number}" for number in (4, 3, 2, 1, 0)]


async def test_after_reads_everything_since_oldest_first_without_end(tenant: Tenant) -> None:
    """For reconciliation: from the beginning, then on from where it ended, also when nothing is new."""
    empty = await _page(tenant, after="")
    assert empty == {"data": [], "next_cursor": None}
    await tenant.publish(*(payment(number) for number in range(5)))
    await _until_settled(tenant, 5)
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        page = await _page(tenant, after=cursor, limit=2)
        seen += [event["id"] for event in page["data"]]
        cursor = page["next_cursor"]
    assert seen == [f"pay-{number}" for number in range(5)]
    nothing_new = await _page(tenant, after=cursor, limit=2)
    assert nothing_new == {"data": [], "next_cursor": cursor}
    await tenant.publish(withdrawal(9))
    await _until_settled(tenant, 6)
    assert await _ids(tenant, after=cursor) == ["wr-9"]
    assert await _ids(tenant, after="", type="withdrawal.approved.node.1") == ["wr-9"]


async def _until_settled(tenant: Tenant, events: int) -> None:
    """Wait until no write of others (a statistics run, say) is older than the events."""

    async def all_there() -> bool:
        return len(await _ids(tenant, after="")) == events

    await until(all_there, what=f"{events} events are settled")


BAD_QUERIES = [
    *(("limit", value) for value in ("0", "201", "-1", "x", "1.5", "")),
    *(("cursor", value) for value in ("abc", "é", "A" * 129)),
    *(("after", value) for value in ("abc", "é", "A" * 22, "_" * 31, "A" * 129)),
    *(
        ("from", value)
        for value in ("", "2026-07-01", "2026-07-01T12:00:00", "1782907200", "yesterday", "2026-13-01T00:00:00Z")
    ),
    *(("to", value) for value in ("0001-01-01T00:00:00", "2026-07-01T12:00:00 02:00", "99999-01-01T00:00:00Z")),
    *(("type", "x" * 129), ("subject", "x" * 257), ("q", "x" * 129), ("q", "a\0b"), ("type", "\0"), ("subject", "\0")),
    ("colour", "red"),
]


@pytest.mark.parametrize(("name", "value"), BAD_QUERIES)
async def test_bad_parameters_are_refused(tenant: Tenant, name: str, value: str) -> None:
    """422 that names the parameter."""
    answer = await tenant.owner.get("/v1/events", params={name: value})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] in {f"query/{name}", "query/cursor"}


async def test_built_in_types_are_listed_and_shown(tenant: Tenant) -> None:
    """Every page, and each by its name."""
    names: list[str] = []
    params: dict[str, Any] = {"limit": 50}
    while True:
        page = (await tenant.owner.get("/v1/event-types", params=params)).json()
        names += [item["name"] for item in page["data"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert len(names) == len(set(names)) == 80
    shown = (await tenant.owner.get("/v1/event-types/withdrawal.approved.node.10")).json()
    assert (shown["name"], shown["function"], shown["built_in"]) == ("withdrawal.approved.node.10", "withdrawal", True)
    assert (await tenant.owner.get("/v1/event-types/withdrawal.approved.node.11")).status_code == 404
