"""The dispatcher's API behind a real socket, in a thread of its own, for clients that block."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from support.apps import LOOPBACK
from support.databases import Databases
from support.dispatcher_service import DispatcherService, Tenant, fresh_dispatcher_service, payment, withdrawal
from webhook_dispatcher.rejected_events.rejection import Rejection
from webhook_dispatcher.rejected_events.service import RejectedEvents

_START_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedDispatcher:
    """Where it listens, a key with every scope of a tenant, and ids of its objects by the names of their parameters."""

    url: str
    key: str
    ids: dict[str, str]


@contextmanager
def served_dispatcher(postgres_url: str) -> Iterator[ServedDispatcher]:
    """Serve the dispatcher on a fresh database until the end of the block."""
    ready: threading.Event = threading.Event()
    found: dict[str, Any] = {}
    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(postgres_url, found, ready, stop)), daemon=True)
    thread.start()
    assert ready.wait(_START_SECONDS), "the dispatcher did not start"
    try:
        yield found["served"]
    finally:
        found["loop"].call_soon_threadsafe(stop.set)
        thread.join()


async def _serve(postgres_url: str, found: dict[str, Any], ready: threading.Event, stop: asyncio.Event) -> None:
    databases = Databases(postgres_url)
    listener = socket.socket()
    listener.bind((LOOPBACK, 0))
    async with fresh_dispatcher_service(databases) as service:
        tenant = await service.new_tenant()
        ids = await _objects_of(tenant, service)
        # The fixture has started the application already.
        config = uvicorn.Config(service.app, lifespan="off", log_config=None, proxy_headers=False)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([listener]))
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0)
        found["loop"] = asyncio.get_running_loop()
        found["served"] = ServedDispatcher(
            url=f"http://{LOOPBACK}:{listener.getsockname()[1]}",
            key=tenant.owner.headers["x-api-key"],
            ids=ids,
        )
        ready.set()
        await stop.wait()
        server.should_exit = True
        await serving
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
