"""One request to a wallet over guarded HTTP, and what came of it, for any protocol. Never raises for what the network does."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from shared.egress import AddressPolicy, Destination, EgressClient, EgressError, SentUnknown, parse_destination
from shared.ewp.signature_fields import content_digest
from wallet_gateway.protocols.results import CallRecord

STEP_BYTES_MAX: Final = 16 * 1024
PAGE_BYTES_MAX: Final = 256 * 1024
_BASE_URLS_CACHED_MAX: Final = 4096

Clock = Callable[[], float]
"""Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request that can be sent. ``headers`` are complete but for what frames the message."""

    method: str
    destination: Destination
    headers: Mapping[str, str]
    body: bytes
    deadline_seconds: float
    response_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What came of a request: either ``error``, or a complete answer (``truncated``: of which there was more)."""

    call: CallRecord
    error: EgressError | None = None
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    truncated: bool = False


class Transport:
    """Sends each request at most once; redirects, proxies and cookies do not exist."""

    def __init__(self, egress: EgressClient, policy: AddressPolicy, *, clock: Clock = time.time) -> None:
        self._egress = egress
        self._clock = clock
        self._base = lru_cache(_BASE_URLS_CACHED_MAX)(lambda url: parse_destination(url, policy=policy))

    def now(self) -> float:
        """Return the time in unix seconds."""
        return self._clock()

    def destination(self, base_url: str, path: str) -> Destination:
        """Return where ``path`` below ``base_url`` is; raises DestinationRefused."""
        return self._base(base_url).child(path)

    async def exchange(self, request: Outgoing) -> Exchange:
        """Send and say what came of it."""
        started = time.perf_counter()
        began = self._clock()
        try:
            response = await self._egress.request(
                request.method,
                request.destination,
                headers=request.headers,
                body=request.body or None,
                deadline_seconds=request.deadline_seconds,
                response_bytes_max=request.response_bytes_max,
            )
        except EgressError as error:
            status = error.status if isinstance(error, SentUnknown) else None
            return Exchange(call=self.record(began, started=started, request=request, status=status), error=error)
        call = self.record(
            began,
            started=started,
            request=request,
            status=response.status,
            body=response.body,
            skew=_skew_seconds(response.header("date"), now=self._clock()),
        )
        return Exchange(
            call=call,
            status=response.status,
            headers=tuple(response.headers),
            body=response.body,
            truncated=response.truncated,
        )

    def record(
        self,
        began: float,
        *,
        started: float | None = None,
        request: Outgoing | None = None,
        status: int | None = None,
        body: bytes = b"",
        skew: float | None = None,
    ) -> CallRecord:
        """Return the record of a call; with ``began`` alone, of one that was never made."""
        return CallRecord(
            started_at=datetime.fromtimestamp(began, UTC),
            duration_ms=0.0 if started is None else (time.perf_counter() - started) * 1000,
            response_status=status,
            request_digest=content_digest(request.body) if request is not None and request.body else None,
            response_digest=content_digest(body) if body else None,
            clock_skew_seconds=skew,
        )


def _skew_seconds(date: str | None, *, now: float) -> float | None:
    if date is None:
        return None
    try:
        there = parsedate_to_datetime(date)
        return float(round(there.replace(tzinfo=there.tzinfo or UTC).timestamp() - now))
    except (ValueError, OverflowError):
        return None
