"""A worker's picture of the webhooks it serves: their targets, requests in flight, and pace. Pure state, no I/O."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from webhook_dispatcher.deliveries.target import Target


@dataclass(slots=True)
class TokenBucket:
    """At most ``rate`` starts a second, with bursts of up to one second's worth."""

    rate: float
    tokens: float
    refilled_at: float

    def available(self, now: float) -> int:
        """Return how many may start now."""
        self.tokens = min(self.rate, self.tokens + (now - self.refilled_at) * self.rate)
        self.refilled_at = now
        return int(self.tokens)

    def is_full(self, now: float) -> bool:
        """Tell whether nothing of the rate is used up: a new bucket would be the same."""
        return self.tokens + (now - self.refilled_at) * self.rate >= self.rate

    def take(self, count: int) -> None:
        """Use up ``count`` starts."""
        self.tokens -= count

    def wait_seconds(self) -> float:
        """Return how long until one may start."""
        return max(0.0, (1 - self.tokens) / self.rate)


@dataclass(slots=True)
class Destination:
    """One webhook in this worker."""

    webhook_id: UUID
    target: Target | None = None
    in_flight: int = 0
    bucket: TokenBucket | None = None


@dataclass(slots=True)
class Destinations:
    """All webhooks this worker has met. Those with nothing going on are forgotten beyond ``idle_max``."""

    clock: Callable[[], float] = time.monotonic
    idle_max: int = 20_000
    first_limit: int = 1
    """Until a webhook's configuration is known nothing tells its limits: one claim of one delivery brings it along."""
    _known: dict[UUID, Destination] = field(default_factory=dict)

    def get(self, webhook_id: UUID) -> Destination:
        """Return the webhook's state, new if it was not met before."""
        destination = self._known.get(webhook_id)
        if destination is None:
            if len(self._known) >= self.idle_max:
                self._forget_idle()
            destination = self._known[webhook_id] = Destination(webhook_id)
        return destination

    def set_target(self, target: Target) -> None:
        """Take over a webhook's current configuration."""
        destination = self.get(target.id)
        destination.target = target
        rate = target.rate_per_second
        if rate is None:
            destination.bucket = None
        elif destination.bucket is None or destination.bucket.rate != rate:
            # What is in flight may have started within this second.
            tokens = max(0, rate - destination.in_flight)
            destination.bucket = TokenBucket(rate=rate, tokens=tokens, refilled_at=self.clock())

    def free(self, webhook_id: UUID) -> int:
        """Return how many more requests the webhook may have in flight now."""
        destination = self.get(webhook_id)
        limit = destination.target.max_in_flight if destination.target else self.first_limit
        free = limit - destination.in_flight
        if destination.bucket is not None:
            free = min(free, destination.bucket.available(self.clock()))
        return max(0, free)

    def in_flight(self, webhook_id: UUID) -> int:
        """Return how many requests to the webhook are in flight."""
        return self.get(webhook_id).in_flight

    def started(self, webhook_id: UUID, count: int) -> None:
        """Note that requests to the webhook have started."""
        destination = self.get(webhook_id)
        destination.in_flight += count
        if destination.bucket is not None:
            destination.bucket.take(count)

    def ended(self, webhook_id: UUID) -> None:
        """Note that one request to the webhook has ended."""
        self.get(webhook_id).in_flight -= 1

    def busy(self) -> list[UUID]:
        """Return the webhooks with a request in flight."""
        return [webhook_id for webhook_id, item in self._known.items() if item.in_flight]

    def pace_seconds(self, webhook_id: UUID) -> float | None:
        """Return how long the webhook's own rate makes it wait, None where it does not."""
        bucket = self.get(webhook_id).bucket
        return None if bucket is None or bucket.tokens >= 1 else bucket.wait_seconds()

    def _forget_idle(self) -> None:
        now = self.clock()
        for webhook_id in [
            key
            for key, item in self._known.items()
            if item.in_flight == 0 and (item.bucket is None or item.bucket.is_full(now))
        ]:
            del self._known[webhook_id]
