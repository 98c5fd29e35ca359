"""Rate limits in a process's memory, and the headers that tell of them (draft-ietf-httpapi-ratelimit-headers).

The algorithm is the generic cell rate algorithm: one number per key, a full window's allowance at once and then an even flow.
Each process counts for itself, so ``n`` processes behind one address allow up to ``n`` times as much. Used by every service.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a key has left under a policy. ``retry_after_seconds`` is None when this request was allowed."""

    policy: str
    limit: int
    window_seconds: int
    remaining: int
    full_after_seconds: float
    retry_after_seconds: float | None = None

    def headers(self) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
        """Return ``RateLimit`` (what is left, and when it is whole again) and ``RateLimit-Policy`` as ASGI headers."""
        left = f'"{self.policy}";r={self.remaining};t={math.ceil(self.full_after_seconds)}'
        policy = f'"{self.policy}";q={self.limit};w={self.window_seconds}'
        return (b"ratelimit", left.encode()), (b"ratelimit-policy", policy.encode())


class RateLimiter:
    """Allows ``limit`` requests per window for each key. Bounded: the key that was not seen for longest is forgotten first."""

    def __init__(
        self,
        policy: str,
        *,
        limit: int,
        window_seconds: int,
        keys_max: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._limit = limit
        self._window_seconds = window_seconds
        self._interval_seconds = window_seconds / limit
        self._keys_max = keys_max
        self._clock = clock
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, key: Hashable) -> Allowance:
        """Count one request of a key, unless it has none left."""
        now = self._clock()
        spent_seconds = max(self._full_at.get(key, now) - now, 0.0)
        wait_seconds = spent_seconds + self._interval_seconds - self._window_seconds
        if wait_seconds > self._interval_seconds * 1e-6:  # what rounding leaves is no wait
            return self._allowance(spent_seconds, retry_after_seconds=wait_seconds)
        spent_seconds += self._interval_seconds
        self._full_at[key] = now + spent_seconds
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._keys_max:
            self._full_at.popitem(last=False)
        return self._allowance(spent_seconds)

    def is_spent(self, key: Hashable) -> bool:
        """Tell whether ``take`` would refuse; counts nothing."""
        spent_seconds = self._full_at.get(key, 0.0) - self._clock()
        return spent_seconds + self._interval_seconds > self._window_seconds

    def _allowance(self, spent_seconds: float, *, retry_after_seconds: float | None = None) -> Allowance:
        left = (self._window_seconds - spent_seconds) / self._interval_seconds
        return Allowance(
            policy=self._policy,
            limit=self._limit,
            window_seconds=self._window_seconds,
            remaining=max(0, math.floor(left + 1e-6)),
            full_after_seconds=max(0.0, spent_seconds),
            retry_after_seconds=retry_after_seconds,
        )

    def __len__(self) -> int:
        return len(self._full_at)
