"""Verifying a credential: its form, then memory, then Postgres by hash, then judgement. Writes nothing."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from sqlalchemy.exc import SQLAlchemyError

from credentials.api_keys.last_uses import LastUses
from credentials.hygiene.scope_uses import ScopeUses
from credentials.peppers.rehashes import Rehashes
from credentials.revocations.feed import RevocationFeed
from credentials.security_tokens.last_uses import SecurityTokenUses
from credentials.verification import repository
from credentials.verification.judgement import Reason, StoredKey, judge
from credentials.verification.key_hashing import PepperRing
from credentials.verification.memory import Found, Memory
from shared import key_format
from shared.access import AccessUnavailableError, Address, Principal
from shared.access.guesses import GuessLimiter
from shared.database import Database, is_unavailable
from shared.key_format import Kind

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
        scope_uses: ScopeUses,
        rehashes: Rehashes,
        security_token_uses: SecurityTokenUses,
        guesses: GuessLimiter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guesses = guesses
        self._database = database
        self._peppers = peppers
        self._feed = feed
        self._last_uses = last_uses
        self._scope_uses = scope_uses
        self._rehashes = rehashes
        self._security_token_uses = security_token_uses
        self._clock = clock
        self._memory = Memory()

    async def verify(self, credential: str, *, ip: Address | None, scope: str) -> Principal | None:
        """Return the principal, or None for any invalid credential; raises AccessUnavailableError or TooManyGuessesError."""
        principal = (await self.judge(credential, ip=ip, used_scope=scope, guesser=ip)).principal
        if principal is None:
            self._guesses.failed(credential, ip)
        return principal

    async def judge(
        self,
        credential: str,
        *,
        ip: Address | None,
        required_scopes: Collection[str] = (),
        used_scope: str | None = None,
        min_sequence: int = 0,
        guesser: Address | None = None,
    ) -> Verdict:
        """Return the verdict on a credential used from ``ip``; raises AccessUnavailableError.

        With ``guesser``, the address at this service's own edge, look-ups wait in line behind a flood from there, and
        TooManyGuessesError is raised for want of room; siblings do that at their own edge.

        ``used_scope`` is noted as exercised if the credential holds it. Memory serves only if it knows the feed up to
        ``min_sequence``: a sibling may have heard of a revocation from another API process before this one has.
        """
        form = key_format.parse(credential)
        if form is None:
            return Verdict(principal=None, reason=Reason.MALFORMED, sequence=self._feed.applied)
        found = await self._find(credential, kind=form.kind, min_sequence=min_sequence, guesser=guesser)
        if found.key is None:
            return Verdict(principal=None, reason=Reason.UNKNOWN, sequence=found.sequence)
        now = time.time()
        outcome = judge(found.key, now=now, ip=ip)
        if isinstance(outcome, Reason):
            return Verdict(principal=None, reason=outcome, sequence=found.sequence)
        self._note_use(found.key, used_at=now, ip=ip, text=credential)
        if not outcome.scopes.issuperset(required_scopes):
            return Verdict(principal=None, reason=Reason.SCOPE_MISSING, sequence=found.sequence)
        self._scope_uses.note(outcome.credential_id, required_scopes)
        if used_scope is not None and used_scope in outcome.scopes:
            self._scope_uses.note(outcome.credential_id, (used_scope,))
        return Verdict(principal=outcome, reason=None, sequence=found.sequence)

    def _note_use(self, key: StoredKey, *, used_at: float, ip: Address | None, text: str) -> None:
        if key.kind == "security_token":
            self._security_token_uses.note(key.key_id, version=key.version, used_at=used_at, ip=ip)
            return
        self._last_uses.note(key.key_id, version=key.version, used_at=used_at, ip=ip)
        self._rehashes.note(key.key_id, version=key.version, pepper_id=key.pepper_id, text=text)

    async def _find(self, credential: str, *, kind: Kind, min_sequence: int, guesser: Address | None) -> Found:
        fingerprint = self._memory.fingerprint(credential)
        if self._feed.is_trusted() and self._feed.applied >= min_sequence:
            remembered = self._memory.get(fingerprint, now=self._clock())
            if remembered is not None and self._still_holds(remembered):
                # It holds at everything applied since, and a sibling may be told so.
                return replace(remembered, sequence=max(remembered.sequence, self._feed.applied))
        async with self._guesses.look_up(guesser):
            return await self._look_up(fingerprint, self._peppers.candidates(credential), kind=kind)

    async def _look_up(self, fingerprint: bytes, hashes: list[bytes], *, kind: Kind) -> Found:
        for _ in range(_READS_MAX):
            found = await self._read(hashes, kind=kind)
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

    async def _read(self, hashes: list[bytes], *, kind: Kind) -> Found:
        epoch = self._feed.epoch
        try:
            async with self._database.autocommit() as connection:
                key, sequence = await repository.find(connection, hashes=hashes, kind=kind)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            if is_unavailable(exc):
                raise AccessUnavailableError from exc
            raise
        return Found(key=key, sequence=sequence, epoch=epoch, read_at=self._clock())
