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
    """Two per worker, of wallets and of tenants. ``has_room`` is called when of a share that was used up a quarter is free again.

    Written for wallets; a transfer is at its tenant from its claim to its end.
    """

    share: int
    has_room: Callable[[], None]
    _at: dict[tuple[UUID, int], UUID] = field(default_factory=dict)
    _counts: Counter[UUID] = field(default_factory=Counter)
    _used_up: set[UUID] = field(default_factory=set)

    def enter(self, transfer_id: UUID, fence: int, wallet_id: UUID) -> None:
        """Put a transfer, under its fence, where it is; from where it was, if it was anywhere."""
        before = self._at.get((transfer_id, fence))
        if before == wallet_id:
            return
        self._at[transfer_id, fence] = wallet_id
        self._counts[wallet_id] += 1
        if self._counts[wallet_id] >= self.share:
            self._used_up.add(wallet_id)
        if before is not None:
            self._take_from(before)

    def leave(self, transfer_id: UUID, *, fence: int) -> None:
        """Take a transfer away."""
        before = self._at.pop((transfer_id, fence), None)
        if before is not None:
            self._take_from(before)

    def taken(self) -> Taken:
        """Return how many are at each wallet where there are any."""
        full = [wallet_id for wallet_id, count in self._counts.items() if count >= self.share]
        return Taken(most=self.share, counts=dict(self._counts), full=full)

    def _take_from(self, wallet_id: UUID) -> None:
        self._counts[wallet_id] -= 1
        left = self._counts[wallet_id]
        if not left:
            del self._counts[wallet_id]
        if wallet_id in self._used_up and left <= self.share * 3 // 4:
            self._used_up.remove(wallet_id)
            self.has_room()
