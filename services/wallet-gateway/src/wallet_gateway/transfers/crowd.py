"""How many of a worker's transfers are at each wallet, and of each tenant: none gets more of the worker than its share.

A transfer is at the wallet of its step under way; one that has not begun is at its source, or at the wallet that is asked for it
what it can do. Of a wallet whose share is used up nothing more is claimed, from there or to there, so that wallets which take
long, or never answer, leave room for the others.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What is taken of shares: so many are at each place, and ``most`` may be; ``full`` are the places with no room."""

    most: int
    counts: Mapping[UUID, int]
    full: Sequence[UUID]


@dataclass(slots=True)
class Crowd:
    """Two per worker: a place is a wallet in one, and a tenant in the other, where a transfer is from its claim to its end.

    ``has_room`` is called when of a place's share, which was used up, a quarter is free again.
    """

    share: int
    has_room: Callable[[], None]
    _at: dict[tuple[UUID, int], UUID] = field(default_factory=dict)
    _counts: Counter[UUID] = field(default_factory=Counter)
    _used_up: set[UUID] = field(default_factory=set)

    def enter(self, transfer_id: UUID, fence: int, place: UUID) -> None:
        """Put a transfer, under its fence, where it is; from where it was, if it was anywhere."""
        before = self._at.get((transfer_id, fence))
        if before == place:
            return
        self._at[transfer_id, fence] = place
        self._counts[place] += 1
        if self._counts[place] >= self.share:
            self._used_up.add(place)
        if before is not None:
            self._take_from(before)

    def leave(self, transfer_id: UUID, *, fence: int) -> None:
        """Take a transfer away."""
        before = self._at.pop((transfer_id, fence), None)
        if before is not None:
            self._take_from(before)

    def taken(self) -> Taken:
        """Return how many are at each place where there are any."""
        full = [place for place, count in self._counts.items() if count >= self.share]
        return Taken(most=self.share, counts=dict(self._counts), full=full)

    def _take_from(self, place: UUID) -> None:
        self._counts[place] -= 1
        left = self._counts[place]
        if not left:
            del self._counts[place]
        if place in self._used_up and left <= self.share * 3 // 4:
            self._used_up.remove(place)
            self.has_room()
