"""How many bytes of published bodies a process holds at once: a limit on memory, not on requests.

A body takes its bytes as they arrive, so an upload that has sent nothing holds nothing. One realm gets half at most.
Bodies that grow could wait for each other until none of them is ever whole: therefore room for one whole body is set
apart, and one body at a time that found no room elsewhere grows in it to its end.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.principals import Realm
from shared.problems import ServiceUnavailable

STEP_BYTES = 64 * 1024
WAIT_SECONDS_MAX = 5.0


class Share:
    """What one body holds of the budget."""

    def __init__(self, budget: "ByteBudget", realm: Realm) -> None:
        self._budget = budget
        self.realm = realm
        self.held_bytes = 0

    async def grow(self, size: int) -> None:
        """Hold ``size`` bytes in all; raises ServiceUnavailable when they are not free within ``WAIT_SECONDS_MAX``."""
        if size > self.held_bytes:
            await self._budget.take(self, -(-size // STEP_BYTES) * STEP_BYTES - self.held_bytes)


class ByteBudget:
    """Gives out bytes; who asks for more than is left waits a while for others to give theirs back."""

    def __init__(self, bytes_max: int, *, body_bytes_max: int, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self.shared_bytes = bytes_max - body_bytes_max
        self.realm_bytes = bytes_max // 2
        self._wait_seconds_max = wait_seconds_max
        self._used = 0
        self._used_by_realm: Counter[Realm] = Counter()
        self._set_apart_for: Share | None = None
        self._changed = asyncio.Condition()

    @property
    def used_bytes(self) -> int:
        """Return how many bytes are held now."""
        return self._used + (self._set_apart_for.held_bytes if self._set_apart_for else 0)

    @asynccontextmanager
    async def share(self, realm: Realm) -> AsyncIterator[Share]:
        """Open a share that holds nothing yet; all that it comes to hold is given back at the end."""
        share = Share(self, realm)
        try:
            yield share
        finally:
            self._give_back(share)
            async with self._changed:
                self._changed.notify_all()

    async def take(self, share: Share, more_bytes: int) -> None:
        """Let a share hold ``more_bytes`` more; see ``Share.grow``."""
        if not self._take_now(share, more_bytes):
            try:
                async with asyncio.timeout(self._wait_seconds_max), self._changed:
                    await self._changed.wait_for(lambda: self._take_now(share, more_bytes))
            except TimeoutError as exc:
                raise ServiceUnavailable(
                    "Too many bodies are being read just now; nothing was done. Try again.", retry_after_seconds=5
                ) from exc

    def _take_now(self, share: Share, more_bytes: int) -> bool:
        if share is not self._set_apart_for:
            shared = self._used + more_bytes <= self.shared_bytes
            if shared and self._used_by_realm[share.realm] + more_bytes <= self.realm_bytes:
                self._used += more_bytes
                self._used_by_realm[share.realm] += more_bytes
            elif self._set_apart_for is None:
                # What it held already is in the room set apart from now on.
                self._release(share)
                self._set_apart_for = share
            else:
                return False
        share.held_bytes += more_bytes
        return True

    def _give_back(self, share: Share) -> None:
        if share is self._set_apart_for:
            self._set_apart_for = None
        else:
            self._release(share)

    def _release(self, share: Share) -> None:
        self._used -= share.held_bytes
        self._used_by_realm[share.realm] -= share.held_bytes
        if not self._used_by_realm[share.realm]:
            del self._used_by_realm[share.realm]
