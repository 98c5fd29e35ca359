"""Nonces that were seen, so that a signed request is acted on once. Used by whatever answers ``ewp/1``.

A nonce is remembered until its request is too old to be accepted anyway. In a system of several processes each remembers its own:
a replay that reaches another is a request with the same id and content, which ``ewp/1`` answers with the current state.
"""

from collections import defaultdict
from typing import Final

from shared.ewp.signature_errors import NonceMemoryFullError, NonceReplayedError

NONCES_MAX: Final = 500_000
"""About 80 MB when full: 1 600 requests a second whose clocks agree."""


class NonceMemory:
    """A bounded set of nonces, each with its end. Not for several threads at once."""

    def __init__(self, nonces_max: int = NONCES_MAX) -> None:
        self._nonces_max = nonces_max
        self._ends: dict[str, int] = {}
        self._by_end: defaultdict[int, list[str]] = defaultdict(list)
        self._swept_until = -1

    def __len__(self) -> int:
        return len(self._ends)

    def remember(self, nonce: str, *, until: int, now: int) -> None:
        """Remember ``nonce`` through the second ``until`` (unix). Raises NonceReplayedError when it is remembered already.

        When full, NonceMemoryFullError: to forget a nonce early would be to accept its replay.
        """
        self._forget_before(now)
        if nonce in self._ends:
            raise NonceReplayedError("this nonce was used before")
        if len(self._ends) >= self._nonces_max:
            raise NonceMemoryFullError("too many requests within the time in which they can be replayed")
        self._ends[nonce] = until
        self._by_end[until].append(nonce)

    def _forget_before(self, now: int) -> None:
        # A clock that was put back is followed: else nothing would be forgotten until it is there again.
        if now == self._swept_until:
            return
        self._swept_until = now
        for end in [end for end in self._by_end if end < now]:  # at most one entry for each second of the tolerance
            for nonce in self._by_end.pop(end):
                del self._ends[nonce]
