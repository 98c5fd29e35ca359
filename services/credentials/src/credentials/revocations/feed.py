"""The revocation feed as one API process sees it: follows the table, and says whether remembered answers may be used.

Every mutation that narrows announces itself here. Postgres is the truth: each API process looks at the table every
``POLL_SECONDS``, and at once after a commit of its own or a hint over Valkey. Memory is trusted only while the last look
began less than ``TRUST_SECONDS`` ago; with what a sibling may add (shared.access), a revocation is in force everywhere in
under a second, and needs neither Valkey nor a living follower.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.revocations import repository
from credentials.revocations.repository import Revocation, TargetKind
from shared.access.tombstones import Tombstones
from shared.database import Database

POLL_SECONDS = 0.1
TRUST_SECONDS = 0.25
ROWS_MAX = 1_000
_STALE_SECONDS = 5.0
_LOOK_TIMEOUT_SECONDS = 1.0

log = structlog.get_logger()


class FeedStaleError(Exception):
    """The feed could not be read for some time; every verification reads Postgres meanwhile."""


class RevocationFeed:
    """Follows the feed. ``database`` is a pool of its own, so that a busy service cannot delay it."""

    def __init__(
        self,
        database: Database,
        *,
        hint: Callable[[int], None] = lambda _sequence: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._hint = hint
        self._clock = clock
        self._wanted = asyncio.Event()
        self._look_done = asyncio.Event()
        self._looked_at: float | None = None
        self._distrusted_at: float | None = None
        self.applied = 0
        """The sequence up to which the tombstones are complete."""
        self.epoch = 0
        """Changes when sequences start anew; what was remembered in another epoch is worthless."""
        self.tombstones = Tombstones()
        self.took_seconds: float | None = None
        """From the newest revocation's transaction until it was applied here, by the clock of Postgres."""

    def is_trusted(self) -> bool:
        """Tell whether the tombstones are complete up to a moment less than ``TRUST_SECONDS`` ago."""
        if self._looked_at is None or self._clock() - self._looked_at > TRUST_SECONDS:
            return False
        return self._distrusted_at is None or self._looked_at > self._distrusted_at

    async def announce(self, session: AsyncSession, *, target_kind: TargetKind, target_id: UUID, reason: str) -> None:
        """Add a revocation to this transaction; call it last, since it holds the counter until the commit.

        From the commit on, this process reads Postgres until it has seen the row itself.
        """
        sequence = await repository.append(session, target_kind=target_kind, target_id=target_id, reason=reason)
        event.listen(session.sync_session, "after_commit", lambda _session: self._committed(sequence), once=True)

    def _committed(self, sequence: int) -> None:
        self.distrust()
        self.look_soon()
        self._hint(sequence)

    def distrust(self) -> None:
        """Use no memory until the next look at the table."""
        self._distrusted_at = self._clock()

    def look_soon(self) -> None:
        """Have the follower look now instead of at its next turn."""
        self._wanted.set()

    async def follow(self) -> None:
        """Look at the table every ``POLL_SECONDS`` until cancelled; while Postgres is away, keep trying."""
        failing = False
        while True:
            self._wanted.clear()
            try:
                await self.look()
                failing = False
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                if not failing:
                    log.warning("revocations.feed_unreadable", reason=type(exc).__name__)
                failing = True
                await asyncio.sleep(POLL_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wanted.wait()

    async def wait(self, *, after: int, seconds: float) -> int:
        """Return the sequence once it is over ``after``, or when the time has passed.

        It is complete: it covers all that was committed before this call. Raises FeedStaleError if the table cannot be read.
        """
        called_at = self._clock()
        while self.applied <= after and (left := called_at + seconds - self._clock()) > 0:
            await self._next_look(within_seconds=left)
        while self._looked_at is None or self._looked_at < called_at:
            self.look_soon()
            if not await self._next_look(within_seconds=_LOOK_TIMEOUT_SECONDS):
                raise FeedStaleError
        return self.applied

    async def _next_look(self, *, within_seconds: float) -> bool:
        try:
            async with asyncio.timeout(within_seconds):
                await self._look_done.wait()
        except TimeoutError:
            return False
        return True

    async def rows_after(self, sequence: int) -> Sequence[Revocation]:
        """Return up to ``ROWS_MAX`` rows that follow ``sequence``, oldest first; raises what the database raises."""
        async with self._database.autocommit() as connection:
            return await repository.after(connection, sequence=sequence, limit=ROWS_MAX)

    async def look(self) -> None:
        """Apply what is new. What was committed before this call began is applied when it returns."""
        began_at = self._clock()
        async with self._database.autocommit() as connection:
            last = await repository.last_sequence(connection)
            if last < self.applied:
                # The database was restored from a backup: sequences are being given out again.
                self._start_anew(at=0)
            if self._looked_at is None:
                # Of what came before there will be no tombstones, so nothing that was read before may be kept.
                self.applied = last
                self.tombstones.clear(floor=last)
            while self.applied < last:
                rows = await repository.after(connection, sequence=self.applied, limit=ROWS_MAX)
                if not rows or rows[0].sequence != self.applied + 1:
                    # This process was stopped for so long that what it missed is pruned.
                    self._start_anew(at=last)
                    break
                for row in rows:
                    self.tombstones.bury(row.target_id, sequence=row.sequence)
                    self.took_seconds = row.age_ms / 1000
                self.applied = rows[-1].sequence
        self._looked_at = began_at
        self._look_done.set()
        self._look_done = asyncio.Event()

    def _start_anew(self, *, at: int) -> None:
        """Void everything that was ever read, and go on from a sequence."""
        self.tombstones.clear(floor=at)
        self.applied = at
        self.epoch += 1

    async def check(self) -> None:
        """Raise FeedStaleError when the feed was not read lately; for readiness."""
        if self._looked_at is None or self._clock() - self._looked_at > _STALE_SECONDS:
            raise FeedStaleError
