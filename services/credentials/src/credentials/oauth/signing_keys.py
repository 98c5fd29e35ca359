"""The keys that sign access tokens: made here, sealed at rest, kept in memory for seconds, and rotated.

Three states: the *next* key is published before it signs, so that whoever keeps the published keys knows it already; the
*active* one signs; *previous* ones stay published while tokens that they signed may live, without their private part. Keys that
are dropped for being known to somebody are named in the revocation feed, which voids what processes remember of them.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from joserfc.jwk import ECKey
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit.service import Actor, Target, record
from credentials.oauth import signing_keys_repository as repository
from credentials.oauth.signing_keys_repository import State, StoredSigningKey
from credentials.revocations import repository as revocations
from credentials.revocations.feed import RevocationFeed
from shared import typeids
from shared.access.jwt import ALGORITHM, CURVE, KEY_ID_PREFIX, public_key
from shared.database import Database
from shared.sealing import SealContext, SealingKeyring

RING_SECONDS = 5.0
"""How long a process goes on with the keys it read, unless the feed names one of them."""
_RELOAD_SECONDS = 1.0
PREVIOUS_SECONDS = 3600
"""How long a key stays published after its last token was signed: far longer than a token lives."""
SERVICE = Actor(kind="system", id="credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """The key that signs now."""

    id: UUID
    private: ECKey


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ring:
    active: SigningKey
    public: dict[UUID, ECKey]
    published: Sequence[dict[str, Any]]
    sequence: int
    """Where the revocation feed stood when they were read."""
    read_at: float


class SigningKeys:
    """The keys as one process knows them; makes the first ones when there are none."""

    def __init__(
        self,
        database: Database,
        sealing: SealingKeyring,
        *,
        feed: RevocationFeed,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._sealing = sealing
        self._feed = feed
        self._clock = clock
        self._ring: _Ring | None = None
        self._reading = asyncio.Lock()

    async def active(self) -> SigningKey:
        """Return the key that signs now; raises what the database raises."""
        return (await self._known()).active

    async def published(self) -> tuple[Sequence[dict[str, Any]], int]:
        """Return the public keys as JWKs (RFC 7517), and where the feed stood then; raises what the database raises."""
        ring = await self._known()
        return ring.published, ring.sequence

    async def find(self, key_id: UUID) -> ECKey | None:
        """Return the published key with this id; raises what the database raises.

        For one that is not known, the table is read again, at most every second.
        """
        ring = await self._known()
        if key_id not in ring.public and self._clock() - ring.read_at >= _RELOAD_SECONDS:
            ring = await self._known(max_age_seconds=_RELOAD_SECONDS)
        return ring.public.get(key_id)

    async def _known(self, *, max_age_seconds: float = RING_SECONDS) -> _Ring:
        ring = self._ring
        if ring is not None and self._clock() - ring.read_at < max_age_seconds and self._still_holds(ring):
            return ring
        async with self._reading:
            if self._ring is not ring and self._ring is not None:
                return self._ring
            try:
                self._ring = await self._read()
            except (SQLAlchemyError, OSError, TimeoutError):
                # What was revoked, the verification's own query finds out; these keys alone allow nothing.
                if ring is None:
                    raise
                return ring
            return self._ring

    def _still_holds(self, ring: _Ring) -> bool:
        """Tell whether the feed has named none of these keys since they were read."""
        return self._feed.tombstones.allow(*ring.public, read_at=ring.sequence)

    async def _read(self) -> _Ring:
        read_at = self._clock()
        async with self._database.autocommit() as connection:
            stored, sequence = await repository.everything_with_sequence(connection)
        if not any(key.state == "active" for key in stored):
            async with self._database.transaction() as session:
                stored = await make_first(session, sealing=self._sealing)
        active = next(key for key in stored if key.state == "active")
        return _Ring(
            active=SigningKey(id=active.id, private=_opened(active, self._sealing)),
            public={key.id: public_key(orjson.loads(key.public_jwk)) for key in stored},
            published=[orjson.loads(key.public_jwk) for key in stored],
            sequence=sequence,
            read_at=read_at,
        )


async def make_first(session: AsyncSession, *, sealing: SealingKeyring) -> Sequence[StoredSigningKey]:
    """Make the first two keys unless somebody else has; return all there are."""
    await repository.take_turn(session)
    if not await repository.everything(session):
        now = datetime.now(UTC)
        await _add(session, state="active", sealing=sealing, now=now)
        await _add(session, state="next", sealing=sealing, now=now)
        await record(session, action="signing_key.created", actor=SERVICE, target=await _active_target(session))
    return await repository.everything(session)


async def rotate(session: AsyncSession, *, sealing: SealingKeyring, actor: Actor, now: datetime) -> str:
    """Let the next key sign and publish another one after it; return the id of the one that signs now.

    Tokens signed before stay good until they end.
    """
    await make_first(session, sealing=sealing)
    await repository.retire_active(session, now=now)
    await repository.activate_next(session, now=now)
    await _add(session, state="next", sealing=sealing, now=now)
    await repository.drop_retired_before(session, now - timedelta(seconds=PREVIOUS_SECONDS))
    target = await _active_target(session)
    await record(session, action="signing_key.rotated", actor=actor, target=target)
    return target.id


async def replace_all(session: AsyncSession, *, sealing: SealingKeyring, actor: Actor, now: datetime) -> str:
    """Drop every key, so that all tokens end everywhere within a second, and begin anew; return the id of the one that signs.

    For keys that may have become known to somebody.
    """
    await repository.take_turn(session)
    dropped = await repository.drop_all(session)
    await _add(session, state="active", sealing=sealing, now=now)
    await _add(session, state="next", sealing=sealing, now=now)
    target = await _active_target(session)
    changes = {"dropped": [typeids.encode(KEY_ID_PREFIX, key_id) for key_id in dropped]}
    await record(session, action="signing_key.replaced", actor=actor, target=target, changes=changes)
    for key_id in dropped:
        await revocations.append(session, target_kind="signing_key", target_id=key_id, reason="signing_key.replaced")
    return target.id


async def rotate_if_older_than(
    session: AsyncSession, *, age: timedelta, sealing: SealingKeyring, now: datetime
) -> bool:
    """Rotate when the active key has signed for this long; tell whether it had."""
    stored = await make_first(session, sealing=sealing)
    active = next(key for key in stored if key.state == "active")
    if active.activated_at is not None and active.activated_at > now - age:
        await repository.drop_retired_before(session, now - timedelta(seconds=PREVIOUS_SECONDS))
        return False
    await rotate(session, sealing=sealing, actor=SERVICE, now=now)
    return True


async def _add(session: AsyncSession, *, state: State, sealing: SealingKeyring, now: datetime) -> None:
    key_id, key = typeids.new_id(), ECKey.generate_key(CURVE, private=True)
    named = {"kid": typeids.encode(KEY_ID_PREFIX, key_id), "use": "sig", "alg": ALGORITHM}
    stored = StoredSigningKey(
        id=key_id,
        state=state,
        public_jwk=orjson.dumps({**key.as_dict(private=False), **named}).decode(),
        sealed_private_key=sealing.seal(key.as_pem(private=True), context=_seal_context(key_id)),
        created_at=now,
        activated_at=now if state == "active" else None,
    )
    await repository.add(session, stored)


async def _active_target(session: AsyncSession) -> Target:
    active = next(key for key in await repository.everything(session) if key.state == "active")
    return Target(kind="signing_key", id=typeids.encode(KEY_ID_PREFIX, active.id), tenant_id=None)


def _opened(key: StoredSigningKey, sealing: SealingKeyring) -> ECKey:
    assert key.sealed_private_key is not None
    return ECKey.import_key(sealing.open(key.sealed_private_key, context=_seal_context(key.id)))


def _seal_context(key_id: UUID) -> SealContext:
    return SealContext(table="oauth_signing_keys", column="sealed_private_key", row_id=key_id, tenant_id=None)
