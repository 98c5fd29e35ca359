"""When a webhook's deliveries are held for its failures, and when it is tried again. Pure: tested as a table.

A run of failures opens the breaker: deliveries wait and use up nothing, and one at a time is sent as a probe, after waits that
double. A probe that succeeds closes it. After days without a success the webhook is to be disabled.

What attempts for operational events about webhooks say (``counts=False``) opens nothing and ends no run, so that reports of
failures never make further reports: each one stands against a run of ordinary failures. Only a probe counts whatever it carries,
for with nothing else left to send the breaker would stay open for ever.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

Result = Literal["delivered", "failed", "own_fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """The constants, from the settings. ``disable_after`` None: never."""

    failures_to_open: int = 10
    probe_seconds: int = 30
    probe_seconds_max: int = 600
    disable_after: timedelta | None = timedelta(days=5)


LASTING = timedelta(seconds=60)
"""A run of failures shorter than that is kept in memory alone: a destination that fails now and then costs no writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """What is known of a webhook's failures.

    ``failures`` and ``failing_since`` are the run's that goes on; ``opened_at`` is set while the breaker is open, with
    ``probe_seconds`` until the next probe; that and ``recovered_at`` outlive the closing.
    """

    failures: int = 0
    failing_since: datetime | None = None
    opened_at: datetime | None = None
    probe_seconds: int = 0
    recovered_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether deliveries are held."""
        return self.opened_at is not None

    def is_lasting(self, now: datetime) -> bool:
        """Tell whether the run is one to be written down."""
        return self.is_open or (self.failing_since is not None and now - self.failing_since >= LASTING)


HEALTHY = Breaker()


def after(
    result: Result, breaker: Breaker, *, now: datetime, policy: BreakerPolicy, probe: bool = False, counts: bool = True
) -> Breaker:
    """Return what is known after an attempt. ``probe``: it was let through by an open breaker; ``counts``: see the module."""
    if result == "own_fault":
        return breaker
    if breaker.is_open:
        # What was under way when it opened says how things were before.
        return _after_probe(result, breaker, now=now, policy=policy) if probe else breaker
    if result == "delivered":
        return replace(breaker, failures=0, failing_since=None) if counts and breaker.failures else breaker
    if not counts:
        return breaker
    failed = replace(breaker, failures=breaker.failures + 1, failing_since=breaker.failing_since or now)
    if failed.failures < policy.failures_to_open:
        return failed
    return replace(failed, opened_at=now, probe_seconds=_first_wait(breaker, now=now, policy=policy))


def should_disable(breaker: Breaker, *, now: datetime, policy: BreakerPolicy) -> bool:
    """Tell whether a webhook has failed without a success for so long that it is disabled: only one whose breaker is open."""
    if policy.disable_after is None or not breaker.is_open or breaker.failing_since is None:
        return False
    return now - breaker.failing_since >= policy.disable_after


def _after_probe(result: Result, breaker: Breaker, *, now: datetime, policy: BreakerPolicy) -> Breaker:
    if result == "delivered":
        return Breaker(probe_seconds=breaker.probe_seconds, recovered_at=now)
    wait = min(2 * breaker.probe_seconds, policy.probe_seconds_max)
    return replace(breaker, failures=breaker.failures + 1, probe_seconds=wait)


def _first_wait(breaker: Breaker, *, now: datetime, policy: BreakerPolicy) -> int:
    """Return the first wait of a breaker that opens: longer where it had closed only just, so that it does not flap."""
    shortest = min(policy.probe_seconds, policy.probe_seconds_max)
    if breaker.recovered_at is None or now - breaker.recovered_at > timedelta(seconds=policy.probe_seconds_max):
        return shortest
    return min(max(shortest, 2 * breaker.probe_seconds), policy.probe_seconds_max)
