"""What a worker has left to share out: slots and bytes of payload. Pure state, no I/O.

No webhook takes more of either than it leaves to the others. So however many destinations hang, a next one that asks for less
than what is left finds room, and all together stay within the whole.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Holding:
    """What one webhook, or a whole worker, has in flight."""

    slots: int = 0
    payload_bytes: int = 0
    retries: int = 0
    """How many of the slots are a retry's."""

    def take(self, *, slots: int, payload_bytes: int, retries: int = 0) -> None:
        """Add to what is held."""
        self.slots += slots
        self.payload_bytes += payload_bytes
        self.retries += retries

    def give_back(self, *, payload_bytes: int, retry: bool = False) -> None:
        """End one request."""
        self.slots -= 1
        self.payload_bytes -= payload_bytes
        self.retries -= retry


@dataclass(slots=True, kw_only=True)
class Room:
    """What is free now; smaller with everything that is taken of it."""

    slots: int
    payload_bytes: int

    def fits(self, held: Holding, *, size_bytes: int) -> int:
        """Return how many more payloads of that size a webhook may take; an odd slot goes to who asks for it first."""
        if self.slots <= 0:
            return 0
        by_slots = (self.slots - held.slots + 1) // 2
        by_bytes = (self.payload_bytes - held.payload_bytes) // (2 * max(1, size_bytes))
        return max(0, min(by_slots, by_bytes))

    def count_fitting(self, held: Holding, *, sizes_bytes: Sequence[int]) -> int:
        """Return how many of these payloads, from the first on, a webhook may take by their real sizes."""
        bytes_max = (self.payload_bytes - held.payload_bytes) // 2
        return sum(total <= bytes_max for total in itertools.accumulate(sizes_bytes))

    def take(self, *, slots: int, payload_bytes: int) -> None:
        """Take from what is free."""
        self.slots -= slots
        self.payload_bytes -= payload_bytes
