"""Everything of the wallet gateway that has a lifetime; opened by the API and the worker."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
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
async def open_resources(settings: Settings, registry: CollectorRegistry, *, serves: bool) -> AsyncIterator[Resources]:
    """Open everything; with ``serves``, also follow the revocation feed, as each API process does."""
    database = Database.open(
        settings.database_url, application_name="wallet-gateway", pool_size=settings.database_pool_size
    )
    access = AccessClient.open(
        settings.credentials_url,
        settings.service_key,
        issuer=settings.issuer,
        service="wallet-gateway",
        grace_seconds=settings.access_grace_seconds,
        guesses_per_minute=settings.guesses_per_minute,
    )
    if serves:
        access.start_following(registry)
    queue = open_queue(settings.queue_url)
    try:
        yield Resources(database=database, access=access, queue=queue)
    finally:
        await queue.aclose()
        await access.aclose()
        await database.aclose()
