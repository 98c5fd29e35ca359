"""The revocation feed as one API process sees it: follows the table, and says whether remembered answers may be used.

Every mutation that narrows announces itself here. Several API processes share nothing but Postgres, so each follows the
table. Memory is trusted only while the last look began less than ``TRUST_SECONDS`` ago; with the 0.5 s for which a sibling
keeps an answer, a revocation is in force everywhere in under a second, and needs neither Valkey nor a living follower.
"""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import structlog
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.revocations import repository
from credentials.revocations.repository import TargetKind
from shared.access.tombstones import Tombstones
from shared.database import Database

POLL_SECONDS = 0.1
TRUST_SECONDS = 0.25
_STALE_SECONDS = 5.0
_ROWS_MAX = 1_000

log = structlog.get_logger()


class FeedStaleError(Exception):
    """The feed could not be read for some time; every verification reads Postgres meanwhile."""


class RevocationFeed:
    """Follows the feed. ``database`` is a pool of its own, so that a busy service cannot delay it."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._looked_at: float | None = None
        self._distrusted_at: float | None = None
        self.applied = 0
        """The sequence up to which the tombstones are complete."""
        self.epoch = 0
        """Changes when sequences start anew; what was remembered in another epoch is worthless."""
        self.tombstones = Tombstones()

    def is_trusted(self) -> bool:
        """Tell whether the tombstones are complete up to a moment less than ``TRUST_SECONDS`` ago."""
        if self._looked_at is None or self._clock() - self._looked_at > TRUST_SECONDS:
            return False
        return self._distrusted_at is None or self._looked_at > self._distrusted_at

    async def announce(self, session: AsyncSession, *, target_kind: TargetKind, target_id: UUID, reason: str) -> None:
        """Add a revocation to this transaction; call it last, since it holds the counter until the commit.

        From the commit on, this process reads Postgres until it has seen the row itself.
        """
        await repository.append(session, target_kind=target_kind, target_id=target_id, reason=reason)
        event.listen(session.sync_session, "after_commit", lambda _session: self.distrust(), once=True)

    def distrust(self) -> None:
        """Use no memory until the next look at the table."""
        self._distrusted_at = self._clock()

    async def follow(self) -> None:
        """Look at the table every ``POLL_SECONDS`` until cancelled; while Postgres is away, keep trying."""
        failing = False
        while True:
            try:
                await self.look()
                failing = False
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                if not failing:
                    log.warning("revocations.feed_unreadable", reason=type(exc).__name__)
                failing = True
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """Apply what is new. What was committed before this call began is applied when it returns."""
        began_at = self._clock()
        async with self._database.autocommit() as connection:
            last = await repository.last_sequence(connection)
            if last < self.applied:
                # The database was restored from a backup: sequences are being given out again.
                self.tombstones.clear()
                self.applied = 0
                self.epoch += 1
            if self._looked_at is None:
                self.applied = last
            while self.applied < last:
                rows = await repository.after(connection, sequence=self.applied, limit=_ROWS_MAX)
                for row in rows:
                    self.tombstones.bury(row.target_id, sequence=row.sequence)
                self.applied = rows[-1].sequence if rows else last
        self._looked_at = began_at

    async def check(self) -> None:
        """Raise FeedStaleError when the feed was not read lately; for readiness."""
        if self._looked_at is None or self._clock() - self._looked_at > _STALE_SECONDS:
            raise FeedStaleError
