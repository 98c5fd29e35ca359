"""The dispatcher's API behind a real socket, in a thread of its own, for clients that block."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from support.apps import on_socket
from support.databases import Databases
from support.dispatcher_service import DispatcherService, Tenant, fresh_dispatcher_service, payment, withdrawal
from support.thread_server import served_in_thread
from webhook_dispatcher.rejected_events.rejection import Rejection
from webhook_dispatcher.rejected_events.service import RejectedEvents


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedDispatcher:
    """Where it listens, a key with every scope of a tenant, and ids of its objects by the names of their parameters."""

    url: str
    key: str
    ids: dict[str, str]


@contextmanager
def served_dispatcher(postgres_url: str) -> Iterator[ServedDispatcher]:
    """Serve the dispatcher on a fresh database until the end of the block."""
    with served_in_thread(lambda: _serve(postgres_url)) as served:
        yield served


@asynccontextmanager
async def _serve(postgres_url: str) -> AsyncIterator[ServedDispatcher]:
    databases = Databases(postgres_url)
    # The fixture has started the application already.
    async with fresh_dispatcher_service(databases) as service, on_socket(service.app, started=True) as url:
        tenant = await service.new_tenant()
        ids = await _objects_of(tenant, service)
        yield ServedDispatcher(
            url=url,
            key=tenant.owner.headers["x-api-key"],
            ids=ids,
        )
    await databases.drop_all()


async def _objects_of(tenant: Tenant, service: DispatcherService) -> dict[str, str]:
    """Make an object of each kind; returns their ids by the names that paths give them."""
    webhook = await tenant.new_webhook()
    await tenant.publish(withdrawal(1), payment(2))
    delivery = (await tenant.deliveries())[0]
    kind = {"name": "loyalty.points", "description": "x", "json_schema": {}, "example": {}}
    assert (await tenant.owner.post("/v1/event-types", json=kind)).status_code == 201
    selected = {"from": "2026-01-01T00:00:00Z"}
    recovery = await tenant.owner.post(f"/v1/webhooks/{webhook['id']}/recover", json=selected)
    assert recovery.status_code == 202, recovery.text
    entry = {"tenant_id": tenant.id, "type": "payment.succeeded"}
    rejection = Rejection(
        source="causeway:events",
        entry_id="1-0",
        reason="invalid_event",
        detail="/data: a JSON object is required",
        body=json.dumps(entry).encode(),
        default_event_id="evt_1",
    )
    await RejectedEvents(service.resources.database).keep([rejection])
    rejected = (await tenant.owner.get("/v1/rejected-events")).json()["data"][0]
    return {
        "webhook_id": webhook["id"],
        "delivery_id": delivery["id"],
        "event_id": delivery["event_id"],
        "name": kind["name"],
        "recovery_id": recovery.json()["id"],
        "rejected_id": rejected["id"],
    }
