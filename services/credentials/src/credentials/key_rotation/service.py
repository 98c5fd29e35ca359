"""Rules of rotating a key. Functions take the request's session and leave the commit to its edge."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.api_keys.changes import check_holds_all
from credentials.api_keys.models import ApiKey, ApiKeyVersion
from credentials.api_keys.owner import KeyCaller
from credentials.api_keys.service import IssuedKey, lock, new_version, target_of
from credentials.audit.service import record
from credentials.key_rotation import overlap
from credentials.key_rotation.errors import ApiKeyNotActive, NothingToUndo, TooManyVersions
from credentials.revocations.feed import RevocationFeed
from credentials.verification.key_hashing import PepperRing
from shared import key_format


async def rotate(
    session: AsyncSession,
    *,
    caller: KeyCaller,
    key_id: UUID,
    overlap_seconds: int,
    peppers: PepperRing,
    feed: RevocationFeed,
    now: datetime,
) -> IssuedKey:
    """Give a key a new text; the one before lives for the overlap. Earlier ones in overlap keep their own ends.

    Raises NotFound, ApiKeyNotActive, TooManyVersions, or ScopeEscalation where the new text would lend the caller more
    than it has.
    """
    key = await _lock_active(session, caller=caller, key_id=key_id, now=now)
    await check_holds_all(session, caller=caller, key=key)
    if len(overlap.in_overlap(_lives(key), now=now)) >= overlap.LIVE_IN_OVERLAP_MAX:
        raise TooManyVersions
    forgotten = set(overlap.to_forget(_lives(key), now=now))
    replaced = key.current
    end = overlap.end_of_replaced(now=now, overlap_seconds=overlap_seconds, expires_at=key.expires_at)
    # A text that has ended, say with its pepper, is not revived by being replaced.
    replaced.ends_at = end if replaced.ends_at is None else min(end, replaced.ends_at)
    text = SecretStr(key_format.generate(key.kind, key.environment))
    key.versions.append(new_version(text, number=key.versions[-1].number + 1, peppers=peppers, now=now))
    for version in [version for version in key.versions if version.number in forgotten]:
        key.versions.remove(version)
    await session.flush()
    changes = {"version": [replaced.number, key.current.number], "replaced_ends_at": replaced.ends_at}
    await _settle(session, key, caller=caller, feed=feed, action="api_key.rotated", changes=changes)
    return IssuedKey(key=key, text=text)


async def finish(
    session: AsyncSession, *, caller: KeyCaller, key_id: UUID, feed: RevocationFeed, now: datetime
) -> ApiKey:
    """End every replaced version now; where none lives, nothing changes. Raises NotFound or ApiKeyNotActive."""
    key = await _lock_active(session, caller=caller, key_id=key_id, now=now)
    ended = overlap.in_overlap(_lives(key), now=now)
    if ended:
        key.end_versions_by(now)
        changes = {"ended": ended}
        await _settle(session, key, caller=caller, feed=feed, action="api_key.rotation_finished", changes=changes)
    return key


async def undo(
    session: AsyncSession, *, caller: KeyCaller, key_id: UUID, feed: RevocationFeed, now: datetime
) -> ApiKey:
    """End the current version now and restore the last one it replaced, which must still live.

    Raises NotFound, ApiKeyNotActive, NothingToUndo, or ScopeEscalation as for rotating: the restored version lives longer.
    """
    key = await _lock_active(session, caller=caller, key_id=key_id, now=now)
    await check_holds_all(session, caller=caller, key=key)
    replaced = overlap.in_overlap(_lives(key), now=now)
    if not replaced:
        raise NothingToUndo
    undone, restored = key.current, _version(key, replaced[-1])
    undone.ends_at, restored.ends_at = now, None
    changes = {"version": [undone.number, restored.number]}
    await _settle(session, key, caller=caller, feed=feed, action="api_key.rotation_undone", changes=changes)
    return key


async def _lock_active(session: AsyncSession, *, caller: KeyCaller, key_id: UUID, now: datetime) -> ApiKey:
    key = await lock(session, owner=caller.owner, key_id=key_id)
    if key.status(now) != "active":
        raise ApiKeyNotActive
    return key


async def _settle(
    session: AsyncSession,
    key: ApiKey,
    *,
    caller: KeyCaller,
    feed: RevocationFeed,
    action: str,
    changes: Mapping[str, object],
) -> None:
    await record(session, action=action, actor=caller.actor, target=target_of(key), changes=changes)
    await feed.announce(session, target_kind="credential", target_id=key.id, reason=action)


def _lives(key: ApiKey) -> list[overlap.Life]:
    return [overlap.Life(number=version.number, ends_at=version.ends_at) for version in key.versions]


def _version(key: ApiKey, number: int) -> ApiKeyVersion:
    return next(version for version in key.versions if version.number == number)
