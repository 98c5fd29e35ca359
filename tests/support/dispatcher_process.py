"""The dispatcher's API behind a real socket, in a thread of its own, for clients that block."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from support.apps import on_socket
from support.databases import Databases
from support.dispatcher_service import fresh_dispatcher_service, payment, withdrawal
from support.thread_server import served_in_thread


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
    with served_in_thread(lambda: _serve(postgres_url)) as served:
        yield served


@asynccontextmanager
async def _serve(postgres_url: str) -> AsyncIterator[ServedDispatcher]:
    databases = Databases(postgres_url)
    # The fixture has started the application already.
    async with fresh_dispatcher_service(databases) as service, on_socket(service.app, started=True) as url:
        tenant = await service.new_tenant()
        webhook = await tenant.new_webhook()
        await tenant.publish(withdrawal(1), payment(2))
        delivery = (await tenant.deliveries())[0]
        yield ServedDispatcher(
            url=url,
            key=tenant.owner.headers["x-api-key"],
            webhook_id=webhook["id"],
            delivery_id=delivery["id"],
            event_id=delivery["event_id"],
        )
    await databases.drop_all()
