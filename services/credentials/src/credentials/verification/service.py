"""Verifying a credential: its form, then memory, then Postgres by hash, then judgement. Writes nothing."""

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from credentials.audit.denials import Denials, DeniedCredential
from credentials.hygiene.scope_uses import ScopeUses
from credentials.last_uses import LastUses, SecurityTokenUses
from credentials.peppers.rehashes import Rehashes
from credentials.revocations.feed import RevocationFeed
from credentials.verification import repository
from credentials.verification.judgement import Reason, StoredKey, judge, judge_token
from credentials.verification.key_hashing import PepperRing
from credentials.verification.memory import Found, Memory
from shared import key_format
from shared.access.guesses import GuessLimiter
from shared.access.jwt import AccessToken
from shared.database import Database, is_unavailable
from shared.key_format import Environment, Kind
from shared.principals import AccessUnavailableError, Address, Principal, Refusal
from shared.scopes import PLATFORM_SCOPES, TENANT_SCOPES

_READS_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known of a credential at ``sequence``: the principal, or the reason of the denial."""

    principal: Principal | None
    reason: Reason | None
    sequence: int
    key: StoredKey | None = None
    """The key that was found, whatever was said of it."""
    token: AccessToken | None = None
    """What an access token says, if it is a genuine one."""


class AccessTokenReader(Protocol):
    """Reads access tokens of this issuer."""

    async def read(self, text: str) -> AccessToken | None:
        """Return a genuine token in its time, else None; raises what the database raises."""
        ...


_Read = Callable[[AsyncConnection], Awaitable[tuple[StoredKey | None, int]]]


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
        access_tokens: AccessTokenReader,
        denials: Denials,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guesses = guesses
        self._denials = denials
        self._access_tokens = access_tokens
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
        return (await self.judge_caller(credential, ip=ip, scope=scope)).principal

    def denied(self, _credential: str, principal: Principal, *, reason: Refusal, ip: Address | None) -> None:
        """Have the owner told that the credential was good and its request was refused all the same."""
        self._denials.note(DeniedCredential.of(principal), reason=reason, ip=ip)

    async def judge_caller(
        self, credential: str, *, ip: Address | None, scope: str = "", client_id: str | None = None
    ) -> Verdict:
        """Return the verdict on a caller of this very service; raises AccessUnavailableError or TooManyGuessesError.

        With ``client_id``, the id that it says is its own, it is denied for any other.
        """
        verdict = await self.judge(credential, ip=ip, used_scope=scope, guesser=ip, client_id=client_id)
        if verdict.principal is None:
            self._guesses.failed(credential, ip)
        return verdict

    async def judge(
        self,
        credential: str,
        *,
        ip: Address | None,
        required_scopes: Collection[str] = (),
        used_scope: str | None = None,
        min_sequence: int = 0,
        guesser: Address | None = None,
        is_use: bool = True,
        asked_in: Environment = "live",
        client_id: str | None = None,
        refused_because: Refusal | None = None,
    ) -> Verdict:
        """Return the verdict on a credential used from ``ip``; raises AccessUnavailableError.

        With ``guesser``, the address at this service's own edge, look-ups wait in line behind a flood from there, and
        TooManyGuessesError is raised for want of room; siblings do that at their own edge.

        Without ``is_use`` somebody only asks about it: no address is checked, and no use is noted. Whoever asks from the test
        environment is told of nothing in the live one. ``used_scope`` is noted as exercised if the credential holds it. Memory
        serves only if it knows the feed up to ``min_sequence``: a sibling may have heard of a revocation from another API process
        before this one has.
        """
        token = await self._read_token(credential) if "." in credential else None
        found = await self._find(credential, token, min_sequence=min_sequence, guesser=guesser)
        # What was found holds at everything applied by now, and a sibling may be told so.
        sequence = self._feed.applied if found is None else max(found.sequence, self._feed.applied)
        if found is None:
            return Verdict(principal=None, reason=Reason.MALFORMED, sequence=sequence)
        if found.key is None:
            return Verdict(principal=None, reason=Reason.UNKNOWN, sequence=sequence, token=token)
        verdict = partial(Verdict, sequence=sequence, key=found.key, token=token)
        now = time.time()
        key = found.key if is_use else replace(found.key, allowed_networks=())
        if asked_in == "test" and key.environment != "test":
            outcome: Principal | Reason = Reason.OTHER_ENVIRONMENT
        else:
            outcome = judge(key, now=now, ip=ip) if token is None else judge_token(token, key, now=now, ip=ip)
            if client_id not in {None, key.credential_id} and not isinstance(outcome, Reason):
                outcome = Reason.CLIENT_MISMATCH
        if isinstance(outcome, Reason):
            if is_use:
                self._note_denial(key, reason=outcome.value, ip=ip)
            return verdict(principal=None, reason=outcome)
        if is_use:
            self._note_use(key, used_at=now, ip=ip, text=credential if token is None else None)
        if refused_because is not None:
            self._note_denial(key, reason=refused_because, ip=ip)
        missing = [scope for scope in (*required_scopes, used_scope) if scope and scope not in outcome.scopes]
        if missing and is_use:
            self._note_denial(key, reason=Reason.SCOPE_MISSING.value, ip=ip, scope=missing[0])
        if not outcome.scopes.issuperset(required_scopes):
            return verdict(principal=None, reason=Reason.SCOPE_MISSING)
        self._scope_uses.note(outcome.credential_id, required_scopes)
        if used_scope is not None and used_scope in outcome.scopes:
            self._scope_uses.note(outcome.credential_id, (used_scope,))
        return verdict(principal=outcome, reason=None)

    async def _read_token(self, credential: str) -> AccessToken | None:
        try:
            return await self._access_tokens.read(credential)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            if is_unavailable(exc):
                raise AccessUnavailableError from exc
            raise

    def _note_use(self, key: StoredKey, *, used_at: float, ip: Address | None, text: str | None) -> None:
        if key.kind == "security_token":
            self._security_token_uses.note(key.key_id, version=key.version, used_at=used_at, ip=ip)
            return
        self._last_uses.note(key.key_id, version=key.version, used_at=used_at, ip=ip)
        if text is not None:
            self._rehashes.note(key.key_id, version=key.version, pepper_id=key.pepper_id, text=text)

    def _note_denial(self, key: StoredKey, *, reason: str, ip: Address | None, scope: str | None = None) -> None:
        denied = DeniedCredential(
            id=key.credential_id,
            kind="security_token" if key.kind == "security_token" else "api_key",
            tenant_id=key.tenant_id,
            environment=key.environment,
        )
        # Only a scope that there is has a place of its own: a sibling passes on whatever it was told.
        known = scope if scope in TENANT_SCOPES or scope in PLATFORM_SCOPES else None
        self._denials.note(denied, reason=reason, ip=ip, scope=known)

    async def _find(
        self, credential: str, token: AccessToken | None, *, min_sequence: int, guesser: Address | None
    ) -> Found | None:
        """Return what is known of a credential, by memory or by Postgres; None for what has not the form of one."""
        if token is None and "." in credential:
            return None
        fingerprint = self._memory.fingerprint(credential)
        if self._feed.is_trusted() and self._feed.applied >= min_sequence:
            remembered = self._memory.get(fingerprint, now=self._clock())
            if remembered is not None and self._still_holds(remembered):
                return remembered
        if token is not None:
            read: _Read = partial(repository.find_for_access_token, token=token)
            return await self._look_up(fingerprint, read, token_targets=token.own_targets, guesser=guesser)
        form = key_format.parse(credential)
        if form is None:
            return None
        read = partial(self._read_by_text, credential=credential, kind=form.kind)
        return await self._look_up(fingerprint, read, token_targets=(), guesser=guesser)

    async def _look_up(
        self, fingerprint: bytes, read: _Read, *, token_targets: tuple[UUID, ...], guesser: Address | None
    ) -> Found:
        async with self._guesses.look_up(guesser):
            for _ in range(_READS_MAX):
                found = await self._read(read, token_targets=token_targets)
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
        targets = (found.key.key_id, found.key.tenant_id, *found.token_targets)
        return self._feed.tombstones.allow(*targets, read_at=found.sequence)

    async def _read(self, read: _Read, *, token_targets: tuple[UUID, ...]) -> Found:
        epoch = self._feed.epoch
        try:
            async with self._database.autocommit() as connection:
                key, sequence = await read(connection)
        except (SQLAlchemyError, OSError, TimeoutError) as exc:
            if is_unavailable(exc):
                raise AccessUnavailableError from exc
            raise
        return Found(key=key, sequence=sequence, epoch=epoch, read_at=self._clock(), token_targets=token_targets)

    async def _read_by_text(
        self, connection: AsyncConnection, *, credential: str, kind: Kind
    ) -> tuple[StoredKey | None, int]:
        return await repository.find(connection, hashes=self._peppers.candidates(credential), kind=kind)
