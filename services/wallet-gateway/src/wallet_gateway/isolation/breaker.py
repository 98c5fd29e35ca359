"""When a wallet is left alone, and when it is tried again. Pure: state in, state out, times in seconds of one clock.

Closed until ``FAILURES_MAX`` calls in a row failed; then open, each time twice as long up to ``OPEN_SECONDS_MAX``; then one call
at a time is let through as a probe, and its outcome decides. Outcomes of calls that began before it opened change nothing.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

FAILURES_MAX: Final = 5
OPEN_SECONDS_MIN: Final = 5.0
OPEN_SECONDS_MAX: Final = 60.0
PROBE_SECONDS_MAX: Final = 40.0
"""A probe that has not reported for so long is given up; no call to a wallet takes longer than 30 s."""

Passage = Literal["free", "probe", "aside"]
"""``aside``: past an open breaker, on a budget of its own. Its success is news, its failure is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """``open_until`` is None while closed. ``openings`` counts how often it opened since a call last succeeded."""

    failures: int = 0
    openings: int = 0
    open_until: float | None = None
    probe_until: float | None = None


CLOSED: Final = Breaker()


def wait_seconds(breaker: Breaker, *, now: float) -> float:
    """Return how long a call must wait: 0 when one would be let through."""
    if breaker.open_until is None:
        return 0.0
    if breaker.probe_until is not None and breaker.probe_until > now:
        return max(breaker.open_until - now, 1.0)
    return max(breaker.open_until - now, 0.0)


def let_through(breaker: Breaker, *, now: float) -> tuple[Breaker, Passage]:
    """Return the state after a call was let through; ``wait_seconds`` must be 0."""
    if breaker.open_until is None:
        return breaker, "free"
    return replace(breaker, probe_until=now + PROBE_SECONDS_MAX), "probe"


def after_success(breaker: Breaker, *, passage: Passage) -> Breaker:
    """Return the state after a call that the wallet answered."""
    if breaker.open_until is not None and passage == "free":
        return breaker
    return CLOSED


def after_failure(breaker: Breaker, *, passage: Passage, now: float) -> Breaker:
    """Return the state after a call that brought nothing."""
    if breaker.open_until is not None and passage != "probe":
        return breaker
    failures = breaker.failures + 1
    if passage != "probe" and failures < FAILURES_MAX:
        return replace(breaker, failures=failures)
    seconds = min(OPEN_SECONDS_MIN * 2**breaker.openings, OPEN_SECONDS_MAX)
    return Breaker(failures=failures, openings=min(breaker.openings + 1, 10), open_until=now + seconds)


def after_nothing(breaker: Breaker, *, passage: Passage) -> Breaker:
    """Return the state after a call that was given up before it said anything of the wallet."""
    return replace(breaker, probe_until=None) if passage == "probe" else breaker
