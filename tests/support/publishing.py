"""Publishers for tests: the real ones, and what stands between them and the dispatcher."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from shared.principals import Realm
from shared.publisher import HttpPublisher, PublishedEvent, PublisherUnavailableError
from support.dispatcher_service import DispatcherService

_WAIT_SECONDS = 60.0


class Between(httpx2.AsyncBaseTransport):
    """Passes requests on to the dispatcher, but what ``faults`` says for the next ones happens instead, or on the way back.

    A status is answered without asking; ``"lost"``: the dispatcher did it and the answer never came; ``"down"``: nobody there.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self.faults: list[int | str] = []
        self.requests = 0
        self._answered = asyncio.Condition()

    async def until_requests(self, count: int) -> None:
        """Wait until so many were answered."""
        async with asyncio.timeout(_WAIT_SECONDS), self._answered:
            await self._answered.wait_for(lambda: self.requests >= count)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Do one request."""
        try:
            return await self._handle(request)
        finally:
            async with self._answered:
                self.requests += 1
                self._answered.notify_all()

    async def _handle(self, request: httpx2.Request) -> httpx2.Response:
        fault = self.faults.pop(0) if self.faults else None
        if fault == "down":
            raise httpx2.ConnectError("refused", request=request)
        if isinstance(fault, int):
            return httpx2.Response(fault, headers={"retry-after": "0"}, request=request)
        answer = await self._inner.handle_async_request(request)
        if fault == "lost":
            await answer.aread()
            raise httpx2.ReadError("reset", request=request)
        return answer


@asynccontextmanager
async def http_publisher(
    service: DispatcherService, *, key: str | None = None, deadline_seconds: float = 10.0
) -> AsyncIterator[tuple[HttpPublisher, Between]]:
    """Give a publisher that reaches the dispatcher through memory, and what stands between."""
    between = Between(httpx2.ASGITransport(service.app))
    headers = {"authorization": f"Bearer {key or service.publisher_key}", "content-type": "application/json"}
    http = httpx2.AsyncClient(transport=between, base_url="http://dispatcher.test", headers=headers)
    async with HttpPublisher(http, deadline_seconds=deadline_seconds) as publisher:
        yield publisher, between


def payout(realm: Realm, number: int, **fields: Any) -> PublishedEvent:
    """Return an event whose id follows from its number."""
    wanted: dict[str, Any] = {"type": "payment.succeeded", "data": {"number": number}, "id": f"p-{number}", **fields}
    return PublishedEvent(realm=realm, **wanted)


class Noting:
    """A publisher in memory: notes what it was given; while ``down``, takes nothing."""

    def __init__(self) -> None:
        self.down = False
        self.taken: list[str] = []

    async def publish_many(self, events: Sequence[PublishedEvent]) -> None:
        """Take events."""
        if self.down:
            raise PublisherUnavailableError("down")
        self.taken += [event.id for event in events]

    async def has(self, *ids: str) -> bool:
        """Tell whether it has taken these, in this order, and no others."""
        return self.taken == list(ids)
