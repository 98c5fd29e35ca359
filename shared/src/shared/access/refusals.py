"""What a sibling refuses a good credential, told to credentials for its owner: behind the answer, and never so often as to hurt.

The refusals themselves do not wait for it, and what cannot be told is left out: the owner's log then has fewer, never none for
long. Of one credential, address and reason, one refusal is told in ``QUIET_SECONDS``.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
import structlog

from shared.principals import Address, Refusal

QUIET_SECONDS = 10.0
PLACES_MAX = 10_000
UNDER_WAY_MAX = 8

log = structlog.get_logger()


class Refusals:
    """Tells by ``POST /v1/verify`` of credentials."""

    def __init__(self, http: httpx2.AsyncClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._clock = clock
        self._told_at: OrderedDict[tuple[bytes, str], float] = OrderedDict()
        self._under_way: set[asyncio.Task[None]] = set()

    def tell(self, credential: str, *, fingerprint: bytes, reason: Refusal, ip: Address | None) -> None:
        """Tell of a refusal, unless it was told just now or too many are being told; costs no waiting."""
        place, now = (fingerprint, reason), self._clock()
        if now - self._told_at.get(place, float("-inf")) < QUIET_SECONDS or len(self._under_way) >= UNDER_WAY_MAX:
            return
        self._told_at[place] = now
        self._told_at.move_to_end(place)
        if len(self._told_at) > PLACES_MAX:
            self._told_at.popitem(last=False)
        told: dict[str, Any] = {"credential": credential, "refused_because": reason}
        if ip is not None:
            told["source_ip"] = str(ip)
        task = asyncio.create_task(self._tell(told))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def under_way(self) -> Sequence[asyncio.Task[None]]:
        """Return what is being told."""
        return [*self._under_way]

    async def aclose(self) -> None:
        """Give up what is being told."""
        tasks = self.under_way()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, told: dict[str, Any]) -> None:
        try:
            (await self._http.post("/v1/verify", json=told)).raise_for_status()
        except httpx2.HTTPError as exc:
            log.info("access.refusal_not_told", reason=type(exc).__name__)
