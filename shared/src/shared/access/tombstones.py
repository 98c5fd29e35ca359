"""Which remembered answers a revocation has made worthless, decided by sequence numbers alone.

Used by credentials and, in ``shared.access``, by its siblings.
"""

from collections import OrderedDict
from uuid import UUID

TOMBSTONES_MAX = 10_000


class Tombstones:
    """The newest revocation of each credential and tenant. Bounded: what is forgotten raises the floor for everything.

    A read is good for its targets if no revocation of them is newer than the sequence it was read at; so an answer that was
    read before a revocation, and arrives after it, is known to be stale whenever it comes.
    """

    def __init__(self, *, tombstones_max: int = TOMBSTONES_MAX) -> None:
        self._tombstones_max = tombstones_max
        self._sequences: OrderedDict[UUID, int] = OrderedDict()
        self._floor = 0

    def bury(self, target: UUID, *, sequence: int) -> None:
        """Note a revocation; they come in the order of their sequence."""
        self._sequences[target] = sequence
        self._sequences.move_to_end(target)
        if len(self._sequences) > self._tombstones_max:
            _, forgotten = self._sequences.popitem(last=False)
            self._floor = forgotten

    def allow(self, *targets: UUID | None, read_at: int) -> bool:
        """Tell whether a read at sequence ``read_at`` about these targets still holds."""
        if read_at < self._floor:
            return False
        return all(read_at >= self._sequences.get(target, 0) for target in targets if target is not None)

    def clear(self, *, floor: int = 0) -> None:
        """Forget everything; from now on, only what was read at ``floor`` or later holds."""
        self._sequences.clear()
        self._floor = floor
