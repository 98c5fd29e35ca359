"""The dispatcher's API behind a real socket, in a thread of its own, for clients that block."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from support.apps import LOOPBACK
from support.databases import Databases
from support.dispatcher_service import fresh_dispatcher_service, payment, withdrawal

_START_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedDispatcher:
    """Where it listens, a key with every scope of a tenant, and ids of objects that the tenant has."""

    url: str
    key: str
    webhook_id: str
    delivery_id: str
    event_id: str


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
        webhook = await tenant.new_webhook()
        await tenant.publish(withdrawal(1), payment(2))
        delivery = (await tenant.deliveries())[0]
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
            webhook_id=webhook["id"],
            delivery_id=delivery["id"],
            event_id=delivery["event_id"],
        )
        ready.set()
        await stop.wait()
        server.should_exit = True
        await serving
    await databases.drop_all()
