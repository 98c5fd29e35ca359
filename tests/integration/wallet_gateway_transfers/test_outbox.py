"""The outbox: every event reaches a real dispatcher once, in order, whatever goes wrong on the way."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from shared import typeids
from shared.access import Realm
from shared.publisher import HttpPublisher, PublisherUnavailableError
from support.databases import Databases
from support.dispatcher_service import DispatcherService, Tenant, fresh_dispatcher_service
from support.gateway_service import GatewayService
from support.transfer_bench import Bench, transfer_bench
from wallet_gateway.outbox.publisher import OutboxPublisher
from wallet_gateway.transfers.events import row_of
from wallet_gateway.transfers.plan import End, Failure
from wallet_gateway.transfers.transfer import Account, Transfer

pytestmark = pytest.mark.usefixtures("empty_outbox")


@dataclass(slots=True)
class Line(httpx2.AsyncBaseTransport):
    """The way to the dispatcher. ``before`` and ``after`` may break each request."""

    inner: httpx2.AsyncBaseTransport
    before: Callable[[httpx2.Request], httpx2.Response | None] = lambda _request: None
    lose_answers: int = 0
    bodies: list[Any] = field(default_factory=list)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        self.bodies.append(json.loads(body))
        refused = self.before(request)
        if refused is not None:
            return refused
        answer = await self.inner.handle_async_request(request)
        if self.lose_answers:
            self.lose_answers -= 1
            await answer.aread()
            raise httpx2.ReadError("lost")
        return answer


@dataclass(slots=True)
class Meanwhile(httpx2.AsyncBaseTransport):
    """The way to the dispatcher on which another worker looks for events while a request is under way."""

    inner: httpx2.AsyncBaseTransport
    other: OutboxPublisher
    published: list[int] = field(default_factory=list)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.published.append(await self.other.publish_due())
        return await self.inner.handle_async_request(request)


@pytest.fixture(scope="module")
async def running(databases: Databases, valkey_url: str) -> AsyncIterator[Bench]:
    """Return a gateway without an engine, which would publish as well."""
    async with transfer_bench(databases, valkey_url, engine=False) as made:
        yield made


@pytest.fixture(scope="module")
async def dispatcher(databases: Databases) -> AsyncIterator[DispatcherService]:
    """Return a running dispatcher."""
    async with fresh_dispatcher_service(databases) as running:
        yield running


@pytest.fixture
async def told(dispatcher: DispatcherService) -> Tenant:
    """Return a tenant of the dispatcher: what it is told of is empty."""
    return await dispatcher.new_tenant()


@pytest.fixture
async def empty_outbox(running: Bench) -> None:
    """Forget what other tests have left."""
    await running.service.rows("DELETE FROM outbox")


@asynccontextmanager
async def _outbox(
    service: GatewayService, dispatcher: DispatcherService
) -> AsyncIterator[tuple[OutboxPublisher, Line]]:
    line = Line(httpx2.ASGITransport(dispatcher.app))
    key = {"authorization": f"Bearer {dispatcher.publisher_key}", "content-type": "application/json"}
    async with httpx2.AsyncClient(transport=line, base_url="http://dispatcher.test", headers=key) as http:
        yield OutboxPublisher(service.resources.database, HttpPublisher(http), CollectorRegistry()), line


def _transfer(tenant: Tenant) -> Transfer:
    sides = [Account(wallet_id=typeids.new_id(), is_home=is_home, account="w1") for is_home in (True, False)]
    return Transfer(
        id=typeids.new_id(),
        realm=Realm(tenant_id=typeids.decode("ten", tenant.id), environment="live"),
        owner_ref="client-1",
        source=sides[0],
        target=sides[1],
        amount=Decimal("10.00"),
        currency="USD",
        reference=None,
        shape=None,
        created_at=datetime.now(UTC),
    )


async def _write(
    service: GatewayService, transfer: Transfer, end: End, *, revision: int = 3, row_id: UUID | None = None
) -> str:
    """Write an event as a record does."""
    row = row_of(transfer, end, revision=revision, now=datetime.now(UTC))
    await service.rows(
        "INSERT INTO outbox (id, tenant_id, environment, event_id, ordering_key, body)"
        " VALUES (:id, :tenant, 'live', :event_id, :key, :body)",
        id=row_id or UUID(row["event_row_id"]),
        tenant=transfer.realm.tenant_id,
        event_id=row["event_id"],
        key=row["event_key"],
        body=row["event_body"].encode(),
    )
    event_id: str = row["event_id"]
    return event_id


async def _due_now(service: GatewayService) -> None:
    await service.rows("UPDATE outbox SET due_at = now()")


async def _left(service: GatewayService) -> int:
    (row,) = await service.rows("SELECT count(*) AS count FROM outbox")
    count: int = row.count
    return count


async def _events(told: Tenant) -> list[str]:
    answer = await told.owner.get("/v1/events")
    return [event["id"] for event in answer.json()["data"]][::-1]


COMPLETED = End(status="completed")
FAILED = End(status="failed", failure=Failure(code="insufficient_funds", detail="The wallet says rejected."))
REVIEW = End(status="manual_review", failure=Failure(code="outcome_unknown", detail="The wallet does not say."))


async def test_what_was_written_first_leaves_first_whatever_the_clocks_say(
    bench: Bench, dispatcher: DispatcherService, told: Tenant
) -> None:
    """The process that wrote the later event has a clock that is behind: its id is the lower one."""
    transfer, early, late = _transfer(told), typeids.new_id(), typeids.new_id()
    assert early < late
    async with _outbox(bench.service, dispatcher) as (outbox, _):
        review = await _write(bench.service, transfer, REVIEW, revision=3, row_id=late)
        completed = await _write(bench.service, transfer, COMPLETED, revision=4, row_id=early)
        assert await outbox.publish_due() == 1
        assert await outbox.publish_due() == 1
    assert await _events(told) == [review, completed]


async def test_an_event_is_accepted_and_leaves(bench: Bench, dispatcher: DispatcherService, told: Tenant) -> None:
    """With what the catalogue documents of it, under the tenant it belongs to."""
    async with _outbox(bench.service, dispatcher) as (outbox, _):
        event_id = await _write(bench.service, _transfer(told), FAILED)
        assert await outbox.publish_due() == 1
    assert await _left(bench.service) == 0
    shown = (await told.owner.get(f"/v1/events/{event_id}")).json()
    assert (shown["type"], shown["subject"]) == ("transfer.failed", event_id.partition(".")[0])
    assert shown["data"]["failure"]["code"] == "insufficient_funds"
    example = (await told.owner.get("/v1/event-types/transfer.failed")).json()["example"]
    assert shown["data"].keys() == example.keys()


async def test_a_lost_answer_is_published_again_and_counts_once(
    bench: Bench, dispatcher: DispatcherService, told: Tenant
) -> None:
    """The dispatcher had it, and knows it again."""
    async with _outbox(bench.service, dispatcher) as (outbox, line):
        event_id = await _write(bench.service, _transfer(told), COMPLETED)
        line.lose_answers = 1
        await outbox.publish_due()
        assert await _left(bench.service) == 1
        await _due_now(bench.service)
        await outbox.publish_due()
    assert (await _left(bench.service), await _events(told)) == (0, [event_id])


async def test_a_dispatcher_that_is_away_is_tried_for_ever(
    bench: Bench, dispatcher: DispatcherService, told: Tenant
) -> None:
    """With growing pauses; nothing is dropped."""
    async with _outbox(bench.service, dispatcher) as (outbox, line):
        event_id = await _write(bench.service, _transfer(told), COMPLETED)
        line.before = lambda _request: httpx2.Response(503)
        for attempt in range(1, 10):
            await outbox.publish_due()
            (row,) = await bench.service.rows(
                "SELECT attempts, last_error, extract(epoch FROM due_at - now()) AS wait FROM outbox"
            )
            assert (row.attempts, row.last_error) == (attempt, "http_503")
            assert 0 < row.wait <= 60
            await _due_now(bench.service)
        line.before = lambda _request: None
        await outbox.publish_due()
    assert (await _left(bench.service), await _events(told)) == (0, [event_id])


async def test_events_of_one_transfer_leave_in_order(bench: Bench, dispatcher: DispatcherService, told: Tenant) -> None:
    """`needs_review` before `completed`, also where only the first one fails."""
    async with _outbox(bench.service, dispatcher) as (outbox, line):
        transfer = _transfer(told)
        first = await _write(bench.service, transfer, REVIEW, revision=3)
        second = await _write(bench.service, transfer, COMPLETED, revision=5)
        other = await _write(bench.service, _transfer(told), COMPLETED)
        assert await outbox.publish_due() == 2
        assert [event["id"] for event in line.bodies[0]["events"]] == [first, other]
        await outbox.publish_due()
    assert await _events(told) == [first, other, second]


async def test_an_event_that_is_refused_stops_no_other(
    bench: Bench, dispatcher: DispatcherService, told: Tenant
) -> None:
    """It is kept, and told of in the log and the metrics."""
    async with _outbox(bench.service, dispatcher) as (outbox, _):
        bad = await _write(bench.service, _transfer(told), COMPLETED)
        await bench.service.rows('UPDATE outbox SET body = \'{"type": "no.such.type", "data": {}}\'')
        good = await _write(bench.service, _transfer(told), COMPLETED)
        await outbox.publish_due()
    (kept,) = await bench.service.rows("SELECT event_id, last_error FROM outbox")
    assert (kept.event_id, kept.last_error, await _events(told)) == (bad, "unknown_event_type", [good])


async def test_two_workers_publish_each_event_once(bench: Bench, dispatcher: DispatcherService, told: Tenant) -> None:
    """What one has taken the other leaves alone."""
    async with _outbox(bench.service, dispatcher) as (first, line), _outbox(bench.service, dispatcher) as (second, _):
        line.inner = meanwhile = Meanwhile(line.inner, second)
        await _write(bench.service, _transfer(told), COMPLETED)
        assert await first.publish_due() == 1
    assert meanwhile.published == [0]


async def test_an_event_reaches_its_own_tenant_alone(bench: Bench, dispatcher: DispatcherService, told: Tenant) -> None:
    """Also where those of several are taken together."""
    other = await dispatcher.new_tenant()
    async with _outbox(bench.service, dispatcher) as (outbox, _):
        mine, theirs = [await _write(bench.service, _transfer(each), COMPLETED) for each in (told, other)]
        assert await outbox.publish_due() == 2
    assert (await _events(told), await _events(other)) == ([mine], [theirs])


async def test_a_key_without_the_scope_publishes_nothing(told: Tenant, dispatcher: DispatcherService) -> None:
    """The failure says with which status, and that it is not the event's fault."""
    http = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(dispatcher.app), base_url="http://dispatcher.test", headers={"x-api-key": "none"}
    )
    realm = Realm(tenant_id=typeids.decode("ten", told.id), environment="live")
    async with http:
        with pytest.raises(PublisherUnavailableError) as failed:
            await HttpPublisher(http).publish_bodies(realm, [b"{}"])
    assert (failed.value.code, failed.value.may_pass) == ("http_401", False)
