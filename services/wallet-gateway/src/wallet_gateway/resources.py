"""Everything of the wallet gateway that has a lifetime; opened by the API and the worker."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from shared.access import AccessClient
from shared.database import Database
from shared.queue import open_queue
from wallet_gateway.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What requests and jobs use."""

    database: Database
    access: AccessClient
    queue: Redis

    def checks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return the readiness checks; not the queue, which carries hints only and stops no request."""
        return {"database": self.database.check, "credentials": self.access.check}


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open everything; no connection is made before its first use."""
    database = Database.open(
        settings.database_url, application_name="wallet-gateway", pool_size=settings.database_pool_size
    )
    access = AccessClient.open(settings.credentials_url, settings.service_key)
    queue = open_queue(settings.queue_url)
    try:
        yield Resources(database=database, access=access, queue=queue)
    finally:
        await queue.aclose()
        await access.aclose()
        await database.aclose()
