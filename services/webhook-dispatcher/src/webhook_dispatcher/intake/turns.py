"""Keeps entries of the stream in their order where a webhook wants its events in order, although several workers read.

A consumer group gives each entry to one worker, and nothing says who commits first. So an entry that somebody wants in order
waits until none before it is with another worker: neither read and not committed, nor left behind by one that died, which is
taken over after a few seconds. What waits here need not be without gaps: what another has read in between comes in between.
Everything else is committed at once.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from redis.asyncio import Redis

from webhook_dispatcher.intake.entries import Entry, Fields, position_of, size_of

WAITING_MAX = 1_000
"""With so many entries that wait, no more are read: those before them are about to be committed, or taken over."""
WAITING_BYTES_MAX = 16 << 20
"""The same by their size: an entry may have as much as an event may, and a worker has room for few hundreds of those."""


class Turns:
    """The entries of one worker that wait for their turn, in their order."""

    def __init__(self, queue: Redis, *, stream: str, group: str) -> None:
        self._queue = queue
        self._stream = stream
        self._group = group
        self._waiting: dict[bytes, Fields] = {}
        self._waiting_bytes = 0

    @property
    def is_full(self) -> bool:
        """Tell whether nothing more can wait."""
        return len(self._waiting) >= WAITING_MAX or self._waiting_bytes >= WAITING_BYTES_MAX

    @property
    def anybody_waits(self) -> bool:
        """Tell whether an entry waits."""
        return bool(self._waiting)

    async def have_come(self, entries: Sequence[Entry], *, batch: Sequence[Entry]) -> bool:
        """Tell whether ``entries``, those of a batch that want their order, may be committed with it now; else they wait."""
        if not self._waiting:
            last = max(position_of(entry_id) for entry_id, _ in entries)
            others = await self._first_of_others({entry_id for entry_id, _ in batch})
            if others is None or last < others:
                return True
        self._waiting_bytes += sum(size_of(entry) for entry in entries if entry[0] not in self._waiting)
        self._waiting.update(entries)
        return False

    async def take(self) -> list[Entry]:
        """Return, in their order, the entries whose turn has come: none before them is with another worker."""
        if not self._waiting:
            return []
        others = await self._first_of_others(self._waiting.keys())
        due = sorted(
            (entry for entry in self._waiting.items() if others is None or position_of(entry[0]) < others),
            key=lambda entry: position_of(entry[0]),
        )
        for entry in due:
            del self._waiting[entry[0]]
            self._waiting_bytes -= size_of(entry)
        return due

    async def _first_of_others(self, ours: AbstractSet[bytes]) -> tuple[int, int] | None:
        """Return the place of the oldest entry that is pending and not in our hands; None if there is none.

        One of ours by name that is not in our hands, since we lost an answer, is as one of another worker: it comes again.
        """
        # While we wait, as we mostly do, the oldest of all is another's, and one look is enough.
        for count in (1, len(ours) + 1):
            pending = await self._queue.xpending_range(self._stream, self._group, min="-", max="+", count=count)
            for entry in pending:
                if entry["message_id"] not in ours:
                    return position_of(entry["message_id"])
            if len(pending) < count:
                return None
        return None
