"""Keeps entries of the stream in their order where a webhook wants its events in order, although several workers read.

A consumer group gives each entry to one worker, and nothing says who commits first. So an entry that somebody wants in order
waits until none before it is with another worker: neither read and not committed, nor left behind by one that died, which is
taken over after a few seconds. Everything else is committed at once.
"""

from collections.abc import Sequence

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

    async def have_come(self, entries: Sequence[Entry], *, first: bytes) -> bool:
        """Tell whether ``entries``, of a batch that begins with ``first``, may be committed now; else they wait."""
        if not self._waiting and await self._none_before(first):
            return True
        self._waiting_bytes += sum(size_of(entry) for entry in entries if entry[0] not in self._waiting)
        self._waiting.update(entries)
        return False

    async def take(self) -> list[Entry]:
        """Return the entries that wait, once their turn has come; until then none."""
        if not self._waiting:
            return []
        entries = sorted(self._waiting.items(), key=lambda entry: position_of(entry[0]))
        if not await self._none_before(entries[0][0]):
            return []
        self._waiting.clear()
        self._waiting_bytes = 0
        return entries

    async def _none_before(self, entry_id: bytes) -> bool:
        oldest = await self._queue.xpending_range(self._stream, self._group, min="-", max="+", count=1)
        return not oldest or position_of(oldest[0]["message_id"]) >= position_of(entry_id)
