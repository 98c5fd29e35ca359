"""Nothing is acknowledged before it is committed: whoever is answered can be found by anybody else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from shared import typeids
from support.dispatcher_service import URL, DispatcherService, Tenant, payment

Look = Callable[[], Awaitable[Any]]


@dataclass(kw_only=True)
class Observed:
    """The service behind a look at the database in the moment that an answer begins to leave."""

    service: DispatcherService
    key: str
    connection: asyncpg.Connection
    answers: list[tuple[int, Any]]
    look: Look | None = None

    def client(self, key: str | None = None, **headers: str) -> httpx2.AsyncClient:
        """Return a client whose calls are observed."""

        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            async def looking(message: Message) -> None:
                if message["type"] == "http.response.start" and self.look is not None:
                    self.answers.append((message["status"], await self.look()))
                await send(message)

            await self.service.app(scope, receive, looking)

        transport = httpx2.ASGITransport(observed)
        return httpx2.AsyncClient(
            transport=transport, base_url="http://service.test", headers={"x-api-key": key or self.key, **headers}
        )


@pytest.fixture
async def observed(service: DispatcherService, tenant: Tenant) -> AsyncIterator[Observed]:
    """Return the observer, with a connection that sees committed rows alone."""
    url = service.app.state.settings.database_url.replace("postgresql+asyncpg://", "postgresql://")
    connection = await asyncpg.connect(url)
    yield Observed(service=service, key=tenant.owner.headers["x-api-key"], connection=connection, answers=[])
    await connection.close()


async def test_published_events_are_committed_before_the_answer_leaves(observed: Observed, tenant: Tenant) -> None:
    """Event and delivery, both."""
    await tenant.new_webhook()
    tenant_id = typeids.decode("ten", tenant.id)
    counts = "SELECT (SELECT count(*) FROM events WHERE tenant_id = $1), (SELECT count(*) FROM deliveries WHERE tenant_id = $1)"
    observed.look = lambda: observed.connection.fetchrow(counts, tenant_id)
    client = observed.client(observed.service.publisher_key, **{"x-tenant-id": tenant.id})
    for number in range(1, 4):
        assert (await client.post("/v1/events", json=payment(number))).status_code == 202
        assert observed.answers[-1] == (202, (number, number))


async def test_an_answer_waits_for_the_commit(observed: Observed, tenant: Tenant) -> None:
    """While the database does not let the event in, there is no answer; when it does, there is one."""
    async with observed.connection.transaction():
        await observed.connection.execute("LOCK TABLE event_keys IN EXCLUSIVE MODE")
        publishing = asyncio.create_task(tenant.publish(payment(1)))
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'event_keys'::regclass"
        async with asyncio.timeout(20):
            while not await observed.connection.fetchval(blocked):
                assert not publishing.done()
        assert not publishing.done()
    assert (await publishing)["accepted"] == 1


async def test_every_change_is_committed_before_its_answer_leaves(observed: Observed, tenant: Tenant) -> None:
    """Each mutating call: its audit entry, of the same transaction, is there when the answer begins."""
    await tenant.publish(payment(1))
    tenant_id = typeids.decode("ten", tenant.id)
    last = "SELECT action FROM audit_entries WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1"
    observed.look = lambda: observed.connection.fetchval(last, tenant_id)
    client = observed.client()
    made = await client.post(
        "/v1/webhooks", json={"name": "x", "url": URL, "events": ["*"]}, headers={"idempotency-key": "k"}
    )
    await tenant.publish(payment(2))
    (delivery,) = await tenant.deliveries()
    path = f"/v1/webhooks/{made.json()['id']}"
    calls: list[tuple[str, str, Any]] = [
        ("PATCH", path, {"name": "y"}),
        ("POST", f"{path}/secret/reveal", None),
        ("POST", f"{path}/secret/rotate", {}),
        ("POST", f"{path}/test", {"event_type": "payment.failed"}),
        ("POST", f"/v1/deliveries/{delivery['id']}/resend", None),
        ("POST", f"/v1/deliveries/{delivery['id']}/cancel", None),
        ("POST", f"{path}/disable", None),
        ("POST", f"{path}/enable", {}),
        ("DELETE", path, None),
    ]
    for method, target, body in calls:
        assert (await client.request(method, target, json=body)).is_success
    assert observed.answers == [
        *((201, "webhook.created"), (200, "webhook.changed"), (200, "webhook.secret_revealed")),
        *(
            (200, "webhook.secret_rotated"),
            (202, "webhook.tested"),
            (202, "delivery.resent"),
            (200, "delivery.cancelled"),
        ),
        *((200, "webhook.disabled"), (200, "webhook.enabled"), (204, "webhook.deleted")),
    ]


async def test_a_commit_that_fails_is_no_success(observed: Observed, tenant: Tenant) -> None:
    """A change refused at the commit itself answers 5xx, and nothing of it is there."""
    await observed.connection.execute(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
        CREATE CONSTRAINT TRIGGER refuse_at_commit AFTER INSERT ON webhooks DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION refuse();
        CREATE CONSTRAINT TRIGGER refuse_at_commit AFTER INSERT ON event_keys DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION refuse();
        """
    )
    try:
        made = await tenant.owner.post("/v1/webhooks", json={"name": "x", "url": URL, "events": ["*"]})
        published = await tenant.publisher.post("/v1/events", json=payment(1))
    finally:
        await observed.connection.execute("DROP FUNCTION refuse() CASCADE")
    assert (made.status_code, published.status_code) == (500, 500)
    assert "not today" not in made.text + published.text
    for list_path in ("/v1/webhooks", "/v1/events"):
        assert (await tenant.owner.get(list_path)).json()["data"] == []
    assert (await tenant.publish(payment(1)))["accepted"] == 1
