"""What follows an attempt. Pure: the whole decision stands on this page, and is tested as a table.

Schedule and bounds stand in the constants; ``Retry-After`` is RFC 9110 §10.2.3.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

DEFAULT_DELAYS_SECONDS = (5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 86_400)
DELAY_COUNT_MAX = 20
TOTAL_SECONDS_MAX = 30 * 86_400
JITTER = 0.1
RETRY_AFTER_MAX = timedelta(hours=24)
OWN_FAULT_DELAY = timedelta(seconds=5)

_RETRY_AFTER_STATUSES = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The destination answered with a status."""

    status: int
    retry_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """The attempt failed without an answer: refused, broken, timed out, address blocked. ``code`` says which."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFault:
    """The attempt did not run, or not to its end, for a reason of ours; it never uses up an attempt."""

    code: str


Outcome = Answered | NoAnswer | OwnFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The destination took it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try again after a while. ``failures`` is the count that the schedule is at; ``disable`` also stops the webhook.

    Not a point in time: the database adds it to its own clock, by which deliveries are due, so that a worker whose clock is
    wrong or is set sends none too late or all at once.
    """

    after: timedelta
    failures: int
    disable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """The schedule is used up: the delivery has failed."""

    failures: int


Decision = Delivered | Retry | GiveUp


def decide(
    outcome: Outcome,
    *,
    failures: int,
    delays_seconds: Sequence[int],
    now: datetime,
    probe: bool = False,
    jitter: Callable[[], float] = random.random,
) -> Decision:
    """Decide what follows the attempt that ended in ``outcome`` after ``failures`` counted failures before it.

    Any 2xx is success, also at the last attempt. The failure of a probe, which an open breaker let through, uses up nothing.
    ``jitter`` gives a number in [0, 1); the delay varies by ±10 %.
    """
    match outcome:
        case Answered(status=status) if 200 <= status < 300:  # noqa: PLR2004 - the class of success
            return Delivered()
        case OwnFault():
            return Retry(after=OWN_FAULT_DELAY, failures=failures)
        case Answered(status=410):
            # Kept, not failed: the webhook is disabled, so this one is held until somebody decides.
            return Retry(after=timedelta(0), failures=failures, disable=True)
    if probe:
        # Behind the others that are held: the next probe takes another delivery, in case it is this one that is refused.
        return Retry(after=timedelta(0), failures=failures)
    failures += 1
    if failures > len(delays_seconds):
        return GiveUp(failures=failures)
    after = timedelta(seconds=delays_seconds[failures - 1] * (1 + JITTER * (2 * jitter() - 1)))
    if isinstance(outcome, Answered) and outcome.status in _RETRY_AFTER_STATUSES:
        after = _postponed(after, outcome.retry_after, now=now)
    return Retry(after=after, failures=failures)


def _postponed(scheduled: timedelta, retry_after: str | None, *, now: datetime) -> timedelta:
    """Move ``scheduled`` to what ``Retry-After`` (RFC 9110 §10.2.3) asks, never earlier and at most 24 h from now."""
    wanted = _retry_after(retry_after, now=now)
    if wanted is None:
        return scheduled
    return max(scheduled, min(wanted, RETRY_AFTER_MAX))


def _retry_after(retry_after: str | None, *, now: datetime) -> timedelta | None:
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        # A number too large for a date only ever meant "late": the bound decides.
        return timedelta(seconds=min(int(text[:12]), RETRY_AFTER_MAX.total_seconds()))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        # A year, hour or offset of twenty digits overflows before it is found to be out of range.
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
