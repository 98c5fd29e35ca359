"""Verifying a credential: its form, then memory, then Postgres by hash, then judgement. Writes nothing."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from sqlalchemy.exc import SQLAlchemyError

from credentials.api_keys.last_uses import LastUses
from credentials.revocations.feed import RevocationFeed
from credentials.verification import repository
from credentials.verification.judgement import Reason, judge
from credentials.verification.key_hashing import PepperRing
from credentials.verification.memory import Found, Memory
from shared import key_format
from shared.database import Database, is_unavailable
from shared.principals import AccessUnavailableError, Address, Principal

_READS_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known of a credential at ``sequence``: the principal, or the reason of the denial."""

    principal: Principal | None
    reason: Reason | None
    sequence: int


class LocalVerifier:
    """This service's own Verifier (shared.access), and the source of the answers its siblings get."""

    def __init__(
        self,
        *,
        database: Database,
        peppers: PepperRing,
        feed: RevocationFeed,
        last_uses: LastUses,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._peppers = peppers
        self._feed = feed
        self._last_uses = last_uses
        self._clock = clock
        self._memory = Memory()

    async def verify(self, credential: str, *, ip: Address | None, scope: str) -> Principal | None:  # noqa: ARG002 - the port of shared.access: siblings decide by scope what to do without an answer; here there is always one or none
        """Return the principal, or None for any invalid credential; raises AccessUnavailableError."""
        return (await self.judge(credential, ip=ip)).principal

    async def judge(self, credential: str, *, ip: Address | None, required_scopes: Collection[str] = ()) -> Verdict:
        """Return the verdict on a credential used from ``ip``; raises AccessUnavailableError."""
        if key_format.parse(credential) is None:
            return Verdict(principal=None, reason=Reason.MALFORMED, sequence=self._feed.applied)
        found = await self._find(credential)
        if found.key is None:
            return Verdict(principal=None, reason=Reason.UNKNOWN, sequence=found.sequence)
        now = time.time()
        outcome = judge(found.key, now=now, ip=ip)
        if isinstance(outcome, Reason):
            return Verdict(principal=None, reason=outcome, sequence=found.sequence)
        self._last_uses.note(found.key.key_id, version=found.key.version, used_at=now, ip=ip)
        if not outcome.scopes.issuperset(required_scopes):
            return Verdict(principal=None, reason=Reason.SCOPE_MISSING, sequence=found.sequence)
        return Verdict(principal=outcome, reason=None, sequence=found.sequence)

    async def _find(self, credential: str) -> Found:
        fingerprint = self._memory.fingerprint(credential)
        if self._feed.is_trusted():
            remembered = self._memory.get(fingerprint, now=self._clock())
            if remembered is not None and self._still_holds(remembered):
                # It holds at everything applied since, and a sibling may be told so.
                return replace(remembered, sequence=max(remembered.sequence, self._feed.applied))
        hashes = self._peppers.candidates(credential)
        for _ in range(_READS_MAX):
            found = await self._read(hashes)
            # A revocation may have been applied while the answer was on its way: then neither keep nor give it.
            if self._still_holds(found):
                self._memory.put(fingerprint, found)
                return found
        raise AccessUnavailableError

    def _still_holds(self, found: Found) -> bool:
        if found.epoch != self._feed.epoch:
            return False
        if found.key is None:
            return True
        return self._feed.tombstones.allow(found.key.key_id, found.key.tenant_id, read_at=found.sequence)

    async def _read(self, hashes: list[bytes]) -> Found:
        epoch = self._feed.epoch
        try:
            async with self._database.autocommit() as connection:
                key, sequence = await repository.find(connection, hashes=hashes)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            if is_unavailable(exc):
                raise AccessUnavailableError from exc
            raise
        return Found(key=key, sequence=sequence, epoch=epoch, read_at=self._clock())
