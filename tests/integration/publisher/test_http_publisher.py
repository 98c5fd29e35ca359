"""Publishing over HTTP with the library: durable when it returns, once whatever goes wrong in between."""

from datetime import UTC, datetime

import pytest

from shared.principals import Realm
from shared.publisher import EventRefusedError, PublishedEvent, PublisherUnavailableError
from shared.publisher.http import BATCH_EVENTS_MAX
from support.dispatcher_service import DispatcherService, Tenant
from support.publishing import http_publisher, payout


async def _ids(tenant: Tenant) -> list[str]:
    page = (await tenant.owner.get("/v1/events", params={"limit": 200})).json()
    return [event["id"] for event in page["data"]][::-1]


async def test_an_event_is_published_as_it_is(service: DispatcherService, tenant: Tenant, realm: Realm) -> None:
    """Every field arrives, and the bytes of ``data`` are the publisher's own."""
    event = PublishedEvent(
        realm=realm,
        type="withdrawal.rejected",
        subject="wr-1",
        occurred_at=datetime(2026, 7, 1, 12, tzinfo=UTC),
        data=b'{"amount": 1.10,"big":1e400}',
    )
    async with http_publisher(service) as (publisher, _):
        assert await publisher.publish(event) == event.id
    shown = (await tenant.owner.get(f"/v1/events/{event.id}")).json()
    assert (shown["type"], shown["subject"], shown["occurred_at"]) == (
        "withdrawal.rejected",
        "wr-1",
        "2026-07-01T12:00:00Z",
    )
    assert shown["body"].endswith(',"data":{"amount": 1.10,"big":1e400}}')


@pytest.mark.parametrize("faults", [["lost"], ["down", "down"], [503, 429, 500], ["lost", 503, "lost"]])
async def test_what_goes_wrong_in_between_is_tried_again(
    service: DispatcherService, tenant: Tenant, realm: Realm, faults: list[int | str]
) -> None:
    """An answer that was lost, a server that is away or busy: the event is there once."""
    async with http_publisher(service) as (publisher, between):
        between.faults = list(faults)
        await publisher.publish(payout(realm, 1))
        assert between.requests == len(faults) + 1
    assert await _ids(tenant) == ["p-1"]


async def test_it_gives_up_at_the_deadline(service: DispatcherService, realm: Realm) -> None:
    """Whoever publishes gets an answer in bounded time, and may send the same event again."""
    async with http_publisher(service, deadline_seconds=0.3) as (publisher, between):
        between.faults = ["down"] * 100
        with pytest.raises(PublisherUnavailableError):
            await publisher.publish(payout(realm, 1))
        assert 1 < between.requests < 20


async def test_a_refused_event_says_why(service: DispatcherService, tenant: Tenant, realm: Realm) -> None:
    """With the problem's code and pointers, at once; nothing of its batch was accepted."""
    async with http_publisher(service) as (publisher, between):
        with pytest.raises(EventRefusedError) as refused:
            await publisher.publish_many([payout(realm, 1), payout(realm, 2, type="withdrawal.rejected")])
        assert between.requests == 1
    assert refused.value.code == "invalid_event"
    assert [error["pointer"] for error in refused.value.errors] == ["/events/1/subject"]
    assert await _ids(tenant) == []


async def test_a_key_that_may_not_publish_refuses_no_event(service: DispatcherService, realm: Realm) -> None:
    """It is somebody's to mend, and says nothing about the event: so nobody drops it."""
    key = (await service.credentials.new_key(None, kind="service", scopes=["credentials:verify"]))["key"]
    async with http_publisher(service, key=key) as (publisher, between):
        with pytest.raises(PublisherUnavailableError, match="403"):
            await publisher.publish(payout(realm, 1))
        assert between.requests == 1


async def test_many_are_cut_into_batches_in_order(service: DispatcherService, tenant: Tenant, realm: Realm) -> None:
    """As few requests as the limit on their number allows; realms do not mix."""
    other = Realm(tenant_id=realm.tenant_id, environment="test")
    events = [payout(realm, number) for number in range(BATCH_EVENTS_MAX + 1)]
    async with http_publisher(service) as (publisher, between):
        await publisher.publish_many([events[0], payout(other, 0), *events[1:]])
        assert between.requests == 3
    ledgers = [(await client.get("/v1/ledger")).json()["accepted"] for client in (tenant.owner, tenant.tester)]
    assert ledgers == [BATCH_EVENTS_MAX + 1, 1]
