"""A worker's picture of the webhooks it serves: targets, requests in flight, pace, ramp and breaker. Pure state, no I/O."""

import math
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from webhook_dispatcher.deliveries.target import Target
from webhook_dispatcher.lanes.breaker import HEALTHY, Breaker
from webhook_dispatcher.lanes.lane import lane_of
from webhook_dispatcher.lanes.room import Holding

_SIZE_KEPT = 0.9
_RAMP_STEP = 100
_RAMP_IS_DUE = timedelta(hours=1)
"""A worker that meets a webhook later after it was enabled or recovered takes its backlog for sent: most often it is."""


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
    """How many requests at once a webhook may have after it was enabled or recovered: one, twice as many after each hundred.

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
    let_go_at: datetime | None = None
    """When what was held was let go: the webhook was enabled, or its breaker closed."""
    ramp: Ramp | None = None
    turn_of_retries: bool = True
    """Whether a single slot is a retry's next, if one is due."""
    retries_wait: bool = False
    """Whether retries may be due beyond the webhook's share of slots for them."""
    breaker: Breaker = HEALTHY
    probe_due: bool = False
    probing: bool = False
    health_written: bool = False
    """Whether the database holds a run of failures that a success must end there too."""
    health_unsaved: bool = False
    health_saved_at: float = -math.inf
    """By the monotonic clock: an answer to an earlier question knows less than we do."""

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
        if target.enabled_at != destination.enabled_at:
            # Somebody has enabled it: whatever was known of its failures is of the past.
            destination.enabled_at = target.enabled_at
            destination.breaker, destination.health_written = HEALTHY, False
        let_go_at = max((at for at in (target.enabled_at, target.recovered_at) if at), default=None)
        if let_go_at is not None and let_go_at != destination.let_go_at:
            self.let_go(destination, at=let_go_at)
        self._end_ramp_at_limit(destination)

    def let_go(self, destination: Destination, *, at: datetime) -> None:
        """Begin the ramp of what was held until ``at``, unless that is long ago."""
        if destination.let_go_at is None or at > destination.let_go_at:
            destination.let_go_at = at
            if self.today() - at < _RAMP_IS_DUE:
                destination.ramp = Ramp(started=destination.held.slots)
                self._end_ramp_at_limit(destination)

    def is_held(self, webhook_id: UUID) -> bool:
        """Tell whether an open breaker holds what the webhook has, and no probe is due."""
        destination = self._known.get(webhook_id)
        return destination is not None and destination.breaker.is_open and not destination.probe_due

    def allow_probe(self, webhook_id: UUID, *, asked_at: float) -> None:
        """Let one request through an open breaker: the database, asked at ``asked_at``, says that it is time."""
        destination = self._known.get(webhook_id)
        if destination is None or not destination.breaker.is_open or destination.probing or destination.health_unsaved:
            return
        if destination.health_saved_at < asked_at:
            destination.probe_due = True

    def forget_health(self, *, lanes: AbstractSet[int]) -> None:
        """Forget what is known of failures in these lanes: another worker had them meanwhile."""
        for webhook_id, item in self._known.items():
            if (item.breaker.failures or item.health_written) and lane_of(webhook_id) in lanes:
                item.breaker, item.health_written, item.probe_due = HEALTHY, False, False

    def free(self, webhook_id: UUID) -> int:
        """Return how many more requests the webhook may have in flight now."""
        destination = self.get(webhook_id)
        if destination.breaker.is_open:
            return 1 if destination.probe_due else 0
        free = destination.limit(self.first_limit) - destination.held.slots
        if destination.bucket is not None:
            free = min(free, destination.bucket.available(self.clock()))
        return max(0, free)

    def started(self, webhook_id: UUID, sizes_bytes: Sequence[int], *, retries: int = 0) -> None:
        """Note that requests to the webhook have started, with payloads of these sizes, some of them retries."""
        destination = self.get(webhook_id)
        count, total = len(sizes_bytes), sum(sizes_bytes)
        for held in (destination.held, self.held):
            held.take(slots=count, payload_bytes=total, retries=retries)
        if count and destination.breaker.is_open:
            destination.probe_due, destination.probing = False, True
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

    def ended(self, webhook_id: UUID, size_bytes: int, *, retry: bool = False) -> None:
        """Note that one request to the webhook has ended."""
        destination = self.get(webhook_id)
        for held in (destination.held, self.held):
            held.give_back(payload_bytes=size_bytes, retry=retry)
        if not destination.held.slots:
            destination.probing = False

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
            if item.held.slots == 0
            and (item.bucket is None or item.bucket.is_full(now))
            and not item.breaker.failures
            and not item.health_unsaved
        ]:
            del self._known[webhook_id]
