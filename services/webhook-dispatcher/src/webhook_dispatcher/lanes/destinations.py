"""A worker's picture of the webhooks it serves: their targets, requests in flight, pace and ramp. Pure state, no I/O."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from webhook_dispatcher.deliveries.target import Target
from webhook_dispatcher.lanes.room import Holding

_SIZE_KEPT = 0.9
_RAMP_STEP = 100
_RAMP_IS_DUE = timedelta(hours=1)
"""A worker that meets a webhook later than that after it was enabled takes its backlog for sent: most often it is."""


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
class Ramp:
    """How many requests at once a webhook may have after it was enabled: one, and twice as many after each hundred.

    What was held arrives in order at first, and a destination that just came back is not run over.
    """

    started: int = 0

    def allowance(self) -> int:
        """Return how many requests may be in flight at once."""
        return 1 << self.started // _RAMP_STEP


@dataclass(slots=True)
class Destination:
    """One webhook in this worker."""

    webhook_id: UUID
    target: Target | None = None
    held: Holding = field(default_factory=Holding)
    size_bytes: int = 1
    """What the next payload may have: the largest of the last ones, fading with each claim of smaller ones."""
    bucket: TokenBucket | None = None
    enabled_at: datetime | None = None
    ramp: Ramp | None = None

    @property
    def revision(self) -> int:
        """Return the revision that the target is of, -1 without one."""
        return self.target.revision if self.target else -1

    def limit(self, first: int) -> int:
        """Return how many requests may be in flight at once; ``first`` while the configuration is unknown."""
        if self.target is None:
            return first
        return min(self.target.max_in_flight, self.ramp.allowance()) if self.ramp else self.target.max_in_flight


@dataclass(slots=True)
class Destinations:
    """All webhooks this worker has met. Those with nothing going on are forgotten beyond ``idle_max``."""

    clock: Callable[[], float] = time.monotonic
    today: Callable[[], datetime] = lambda: datetime.now(UTC)
    idle_max: int = 20_000
    first_limit: int = 1
    """Until a webhook's configuration is known nothing tells its limits: one claim of one delivery brings it along."""
    held: Holding = field(default_factory=Holding)
    """What all webhooks together have in flight."""
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
            tokens = max(0, rate - destination.held.slots)
            destination.bucket = TokenBucket(rate=rate, tokens=tokens, refilled_at=self.clock())
        if target.enabled_at is not None and target.enabled_at != destination.enabled_at:
            destination.enabled_at = target.enabled_at
            if self.today() - target.enabled_at < _RAMP_IS_DUE:
                destination.ramp = Ramp(started=destination.held.slots)
        self._end_ramp_at_limit(destination)

    def free(self, webhook_id: UUID) -> int:
        """Return how many more requests the webhook may have in flight now."""
        destination = self.get(webhook_id)
        free = destination.limit(self.first_limit) - destination.held.slots
        if destination.bucket is not None:
            free = min(free, destination.bucket.available(self.clock()))
        return max(0, free)

    def started(self, webhook_id: UUID, sizes_bytes: Sequence[int]) -> None:
        """Note that requests to the webhook have started, with payloads of these sizes."""
        destination = self.get(webhook_id)
        count, total = len(sizes_bytes), sum(sizes_bytes)
        for held in (destination.held, self.held):
            held.take(slots=count, payload_bytes=total)
        if destination.bucket is not None:
            destination.bucket.take(count)
        if destination.ramp is not None:
            destination.ramp.started += count
            self._end_ramp_at_limit(destination)

    def claimed(self, webhook_id: UUID, sizes_bytes: Sequence[int]) -> None:
        """Note the sizes of what a claim brought, started or not."""
        destination = self.get(webhook_id)
        destination.size_bytes = max(1, *sizes_bytes, int(destination.size_bytes * _SIZE_KEPT))

    def ran_dry(self, webhook_id: UUID) -> None:
        """Note that a claim found less than it asked for: nothing is left of what was held."""
        self.get(webhook_id).ramp = None

    def ended(self, webhook_id: UUID, size_bytes: int) -> None:
        """Note that one request to the webhook has ended."""
        for held in (self.get(webhook_id).held, self.held):
            held.give_back(payload_bytes=size_bytes)

    def busy(self) -> list[UUID]:
        """Return the webhooks with a request in flight."""
        return [webhook_id for webhook_id, item in self._known.items() if item.held.slots]

    def pace_seconds(self, webhook_id: UUID) -> float | None:
        """Return how long the webhook's own rate makes it wait, None where it does not."""
        bucket = self.get(webhook_id).bucket
        return None if bucket is None or bucket.tokens >= 1 else bucket.wait_seconds()

    def _end_ramp_at_limit(self, destination: Destination) -> None:
        if destination.ramp and destination.target and destination.ramp.allowance() >= destination.target.max_in_flight:
            destination.ramp = None

    def _forget_idle(self) -> None:
        now = self.clock()
        for webhook_id in [
            key
            for key, item in self._known.items()
            if item.held.slots == 0 and (item.bucket is None or item.bucket.is_full(now))
        ]:
            del self._known[webhook_id]
