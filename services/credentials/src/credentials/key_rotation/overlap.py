"""Which version of a key lives for how long: pure, over versions in the order of their numbers.

One version has no end: the current one. Those it replaced live on in overlap until theirs, which only ever comes closer;
except that undoing a rotation ends the current version and gives the last one it replaced its old place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

LIVE_IN_OVERLAP_MAX = 5
KEPT_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A version's number and end; None is no end."""

    number: int
    ends_at: datetime | None


def end_of_replaced(*, now: datetime, overlap_seconds: int, expires_at: datetime | None) -> datetime:
    """Return when a replaced version ends: after the overlap, and never past the key's own expiry."""
    end = now + timedelta(seconds=overlap_seconds)
    return end if expires_at is None else min(end, expires_at)


def in_overlap(lives: Sequence[Life], *, now: datetime) -> list[int]:
    """Return the numbers of the versions that were replaced and still live, the last replaced last."""
    return [life.number for life in lives if life.ends_at is not None and life.ends_at > now]


def to_forget(lives: Sequence[Life], *, now: datetime) -> list[int]:
    """Return the numbers of the ended versions, oldest first, that are too many to be kept beside one more."""
    ended = [life.number for life in lives if life.ends_at is not None and life.ends_at <= now]
    return ended[: max(0, len(lives) + 1 - KEPT_MAX)]
