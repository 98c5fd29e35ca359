"""Limits what guessing costs us, by the caller's address, and never locks out a real key.

Keys have 256 random bits: guessing finds none, but each guess is a look-up. So each failed credential counts against its
address, and when its allowance is spent:

- a valid credential still passes, whatever else comes from the same address (an office, a proxy, a shared cloud egress);
- a failing one is answered 429 with ``Retry-After`` instead of 401;
- look-ups of credentials that are not remembered go through a narrow lane, a few at a time, so that a flood costs the database
  no more than that; where the lane's waiting room is full, 429 comes without a look-up.

What does not even have the form of a credential costs nothing to refuse and is not counted.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv6Address

from shared.principals import Address, TooManyGuessesError
from shared.rate_limits import RateLimiter

ADDRESSES_MAX = 20_000
LANE_WIDTH = 2
LANE_WAITING_MAX = 64
_WINDOW_SECONDS = 60
_LANE_RETRY_SECONDS = 1.0
# A host gets a whole /64 of IPv6, so its neighbours in there count as itself.
_IPV6_HOST_BITS = 64
_FORM = re.compile(r"cw_[a-z]{2}_(?:live|test)_.+|[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class GuessLimiter:
    """Counts failed credentials by address. ``per_minute`` 0 counts nothing."""

    def __init__(self, *, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limiter = (
            RateLimiter(
                "guesses", limit=per_minute, window_seconds=_WINDOW_SECONDS, keys_max=ADDRESSES_MAX, clock=clock
            )
            if per_minute
            else None
        )
        self._lane = asyncio.Semaphore(LANE_WIDTH)
        self._waiting = 0

    def failed(self, credential: str, ip: Address | None) -> None:
        """Count a credential that turned out to be none; raises TooManyGuessesError when the allowance is spent."""
        if self._limiter is None or ip is None or _FORM.fullmatch(credential) is None:
            return
        allowance = self._limiter.take(_host(ip))
        if allowance.retry_after_seconds is not None:
            raise TooManyGuessesError(allowance, retry_after_seconds=allowance.retry_after_seconds)

    @asynccontextmanager
    async def look_up(self, ip: Address | None) -> AsyncIterator[None]:
        """Surround the look-up of a credential that is not remembered; raises TooManyGuessesError for want of room."""
        if self._limiter is None or ip is None or not self._limiter.is_spent(_host(ip)):
            yield
            return
        if self._waiting >= LANE_WAITING_MAX:
            raise TooManyGuessesError(self._limiter.take(_host(ip)), retry_after_seconds=_LANE_RETRY_SECONDS)
        self._waiting += 1
        try:
            async with self._lane:
                yield
        finally:
            self._waiting -= 1


def _host(ip: Address) -> int | bytes:
    if isinstance(ip, IPv6Address):
        mapped = ip.ipv4_mapped
        return int(mapped) if mapped else ip.packed[: _IPV6_HOST_BITS // 8]
    return int(ip)
