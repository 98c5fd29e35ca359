"""Rules of the security token. Functions take the request's session and leave the commit to its edge."""

from datetime import datetime, timedelta
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit.service import Actor, Target, record
from credentials.revocations.feed import RevocationFeed
from credentials.security_tokens import repository
from credentials.security_tokens.issuer import ENVIRONMENT, IssuedToken, TokenIssuer
from credentials.security_tokens.models import SecurityToken, SecurityTokenVersion
from credentials.security_tokens.schemas import RefreshWanted
from shared import typeids
from shared.access import Caller, Realm
from shared.problems import NotFound

ROLE = "integration"
"""The built-in role that every security token holds, and nothing beside it."""
NAME = "Security token"


async def create(
    session: AsyncSession, *, tenant_id: UUID, created_by: str, issuer: TokenIssuer, now: datetime
) -> SecurityToken:
    """Give a new tenant its token. Nobody has seen its text: revealing shows it."""
    token_id = typeids.new_id()
    issued = issuer.issue(token_id=token_id, tenant_id=tenant_id)
    token = SecurityToken(id=token_id, tenant_id=tenant_id, environment=ENVIRONMENT, sealed_token=issued.sealed)
    token.versions = [_version(issued, number=1, created_by=created_by, expires_at=None, now=now)]
    await repository.add(session, token)
    return token


async def get(session: AsyncSession, *, realm: Realm) -> SecurityToken:
    """Return the realm's token; raises NotFound."""
    token = await repository.find(session, realm=realm)
    if token is None:
        raise NotFound
    return token


async def get_own(session: AsyncSession, *, credential_id: str) -> SecurityToken:
    """Return the token a request was made with; raises NotFound."""
    token = await repository.find_own(session, token_id=typeids.decode("stk", credential_id))
    if token is None:
        raise NotFound
    return token


async def reveal(session: AsyncSession, *, caller: Caller, issuer: TokenIssuer) -> tuple[SecurityToken, SecretStr]:
    """Return the token and its newest text, and record that somebody saw it; raises NotFound."""
    token = await get(session, realm=caller.realm)
    text = issuer.open(token.sealed_token, token_id=token.id, tenant_id=token.tenant_id)
    await record(session, action="security_token.revealed", actor=_actor(caller), target=target_of(token))
    return token, text


async def refresh(
    session: AsyncSession,
    *,
    caller: Caller,
    wanted: RefreshWanted,
    issuer: TokenIssuer,
    feed: RevocationFeed,
    now: datetime,
) -> tuple[SecurityToken, SecretStr]:
    """Replace the token's text; raises NotFound. All older texts end with the overlap at the latest."""
    token = await repository.find(session, realm=caller.realm, lock=True)
    if token is None:
        raise NotFound
    text = await _replace(
        session, token, wanted=wanted, actor=_actor(caller), action="security_token.refreshed", issuer=issuer, now=now
    )
    await feed.announce(session, target_kind="credential", target_id=token.id, reason="security_token.refreshed")
    return token, text


async def replace_leaked(
    session: AsyncSession,
    *,
    hashes: list[bytes],
    actor: Actor,
    issuer: TokenIssuer,
    feed: RevocationFeed,
    now: datetime,
) -> bool:
    """End every text of the token that one of these hashes belongs to; its tenant has a new one. False if there is none.

    A tenant is never without a token, so what revokes a leaked one is a refresh without overlap. A text that has ended harms
    nobody: whoever finds an old one does not end what is in use.
    """
    token = await repository.find_by_hashes(session, hashes)
    if token is None:
        return False
    leaked = next(version for version in token.versions if version.secret_hash in hashes)
    ended_at = leaked.lives_until()
    if ended_at is not None and ended_at <= now:
        return False
    action = "security_token.leaked"
    await _replace(session, token, wanted=RefreshWanted(), actor=actor, action=action, issuer=issuer, now=now)
    await feed.announce(session, target_kind="credential", target_id=token.id, reason=action)
    return True


def target_of(token: SecurityToken) -> Target:
    """Return what the audit log calls a token."""
    return Target(
        kind="security_token",
        id=typeids.encode("stk", token.id),
        tenant_id=token.tenant_id,
        environment=token.environment,
    )


async def _replace(
    session: AsyncSession,
    token: SecurityToken,
    *,
    wanted: RefreshWanted,
    actor: Actor,
    action: str,
    issuer: TokenIssuer,
    now: datetime,
) -> SecretStr:
    ends_at = now + timedelta(seconds=wanted.overlap_seconds)
    before = token.current
    for version in token.versions:
        version.ends_at = min(ends_at, version.ends_at or ends_at)
    issued = issuer.issue(token_id=token.id, tenant_id=token.tenant_id)
    token.sealed_token = issued.sealed
    number = before.number + 1
    token.versions.append(_version(issued, number=number, created_by=actor.id, expires_at=wanted.expires_at, now=now))
    changes = {
        "last_four": [before.last_four, token.current.last_four],
        "overlap_seconds": wanted.overlap_seconds,
        "expires_at": wanted.expires_at,
    }
    await session.flush()
    await record(session, action=action, actor=actor, target=target_of(token), changes=changes)
    return issued.text


def _version(
    issued: IssuedToken, *, number: int, created_by: str, expires_at: datetime | None, now: datetime
) -> SecurityTokenVersion:
    return SecurityTokenVersion(
        number=number,
        pepper_id=issued.hashed.pepper_id,
        secret_hash=issued.hashed.secret_hash,
        prefix=issued.form.prefix,
        last_four=issued.form.last_four,
        created_at=now,
        created_by=created_by,
        expires_at=expires_at,
        ends_at=None,
        last_use=None,
    )


def _actor(caller: Caller) -> Actor:
    return Actor.of(caller.principal, request_id=caller.request_id, ip=caller.ip)
