"""Rules of API keys. Functions take the request's session and leave the commit to its edge."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.api_keys import bounds, grants, repository
from credentials.api_keys.bounds import Bounds
from credentials.api_keys.errors import EnvironmentMismatch
from credentials.api_keys.models import ApiKey, ApiKeyVersion
from credentials.api_keys.owner import KeyCaller, Owner
from credentials.api_keys.schemas import ApiKeyCreate, ApiKeyListQuery, ApiKeyView, view_of
from credentials.audit.service import Actor, Target, record
from credentials.revocations.feed import RevocationFeed
from credentials.roles import service as roles
from credentials.tenants import service as tenants
from credentials.verification.key_hashing import PepperRing
from shared import key_format, typeids
from shared.pagination import Page, page_of
from shared.problems import NotFound, TenantRequired


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key and its text, which is nowhere else."""

    key: ApiKey
    text: SecretStr


async def create(
    session: AsyncSession, *, caller: KeyCaller, wanted: ApiKeyCreate, peppers: PepperRing, now: datetime
) -> IssuedKey:
    """Make a key for the caller's owner; a service key belongs to the platform whoever is named.

    Raises ValidationFailed, ScopeEscalation, EnvironmentMismatch, or NotFound for a tenant that does not exist.
    """
    if not caller.owner.covers(wanted.environment):
        raise EnvironmentMismatch
    own_roles = await roles.own_roles(
        session,
        tenant_id=None if wanted.kind == "service" else caller.owner.tenant_id,
        environment=wanted.environment,
        names=wanted.roles,
    )
    grants.check_grant(
        creator=caller.principal,
        kind=wanted.kind,
        environment=wanted.environment,
        scopes=wanted.scopes,
        roles=wanted.roles,
        own_roles=own_roles,
    )
    wanted_bounds = Bounds(allowed_cidrs=wanted.allowed_cidrs, expires_at=wanted.expires_at)
    await bounds.check(session, creator=caller.principal, bounds=wanted_bounds)
    tenant_id = None if wanted.kind == "service" else await _owning_tenant(session, caller.owner)
    text = SecretStr(key_format.generate(wanted.kind, wanted.environment))
    key = new_key(
        wanted, tenant_id=tenant_id, text=text, created_by=caller.principal.credential_id, peppers=peppers, now=now
    )
    await repository.add(session, key)
    await record_creation(session, key, actor=caller.actor)
    return IssuedKey(key=key, text=text)


def new_key(
    wanted: ApiKeyCreate,
    *,
    tenant_id: UUID | None,
    text: SecretStr,
    created_by: str,
    peppers: PepperRing,
    now: datetime,
) -> ApiKey:
    """Return the row of a key with ``text`` as its first version, not yet stored."""
    return ApiKey(
        id=typeids.new_id(),
        tenant_id=tenant_id,
        environment=wanted.environment,
        kind=wanted.kind,
        name=wanted.name,
        scopes=wanted.scopes,
        roles=wanted.roles,
        allowed_cidrs=wanted.allowed_cidrs,
        key_metadata=wanted.metadata,
        expires_at=wanted.expires_at,
        revoked_at=None,
        created_at=now,
        created_by=created_by,
        versions=[new_version(text, number=1, peppers=peppers, now=now)],
    )


def new_version(text: SecretStr, *, number: int, peppers: PepperRing, now: datetime) -> ApiKeyVersion:
    """Return the row of a key text, not yet stored."""
    form = key_format.parse(text.get_secret_value())
    assert form is not None
    hashed = peppers.hash(text.get_secret_value())
    return ApiKeyVersion(
        number=number,
        pepper_id=hashed.pepper_id,
        secret_hash=hashed.secret_hash,
        prefix=form.prefix,
        last_four=form.last_four,
        created_at=now,
        ends_at=None,
        last_use=None,
    )


async def list_keys(session: AsyncSession, *, owner: Owner, query: ApiKeyListQuery, now: datetime) -> Page[ApiKeyView]:
    """Return one page of the owner's keys."""
    keys = await repository.page(
        session,
        owner=owner,
        position=query.position,
        limit=query.limit + 1,
        now=now,
        status=query.status,
        kind=query.kind,
        environment=query.environment,
        text=query.q,
    )
    return page_of(keys, limit=query.limit, position=lambda key: key.id, item=lambda key: view_of(key, now=now))


async def get(session: AsyncSession, *, owner: Owner, key_id: UUID) -> ApiKey:
    """Return a key of the owner; raises NotFound."""
    key = await repository.find(session, owner=owner, key_id=key_id)
    if key is None:
        raise NotFound
    return key


async def get_own(session: AsyncSession, *, caller: KeyCaller) -> ApiKey:
    """Return the caller's own key; raises NotFound if it was deleted a moment ago."""
    key = await repository.find_own(session, key_id=typeids.decode("key", caller.principal.credential_id))
    if key is None:
        raise NotFound
    return key


async def revoke(
    session: AsyncSession, *, caller: KeyCaller, key_id: UUID, feed: RevocationFeed, now: datetime
) -> ApiKey:
    """End a key and keep its record; for a key revoked before, nothing changes. Raises NotFound."""
    key = await lock(session, owner=caller.owner, key_id=key_id)
    if key.revoked_at is None:
        await end(session, key, actor=caller.actor, now=now)
        await feed.announce(session, target_kind="credential", target_id=key.id, reason="api_key.revoked")
    return key


async def end(
    session: AsyncSession, key: ApiKey, *, actor: Actor, now: datetime, because: Mapping[str, object] | None = None
) -> None:
    """Revoke a locked key with all its versions, and record it; the caller announces it, last."""
    key.revoked_at = now
    for version in key.versions:
        version.ends_at = now if version.ends_at is None else min(version.ends_at, now)
    await record(session, action="api_key.revoked", actor=actor, target=target_of(key), changes=because)


async def remove(session: AsyncSession, *, caller: KeyCaller, key_id: UUID, feed: RevocationFeed) -> None:
    """Delete a key for good; the audit log keeps what it was. Raises NotFound."""
    key = await lock(session, owner=caller.owner, key_id=key_id)
    await repository.remove(session, key)
    await record(session, action="api_key.deleted", actor=caller.actor, target=target_of(key), changes=_grants_of(key))
    await feed.announce(session, target_kind="credential", target_id=key.id, reason="api_key.deleted")


async def record_creation(session: AsyncSession, key: ApiKey, *, actor: Actor) -> None:
    """Write the audit entry of a new key."""
    await record(session, action="api_key.created", actor=actor, target=target_of(key), changes=_grants_of(key))


async def _owning_tenant(session: AsyncSession, owner: Owner) -> UUID:
    if owner.tenant_id is None:
        raise TenantRequired
    await tenants.hold(session, tenant_id=owner.tenant_id)
    return owner.tenant_id


async def lock(session: AsyncSession, *, owner: Owner, key_id: UUID) -> ApiKey:
    """Return a key of the owner that nobody else changes until this transaction ends; raises NotFound."""
    key = await repository.find(session, owner=owner, key_id=key_id, lock=True)
    if key is None:
        raise NotFound
    return key


def target_of(key: ApiKey) -> Target:
    """Return how the audit log names a key."""
    return Target(
        kind="api_key", id=typeids.encode("key", key.id), tenant_id=key.tenant_id, environment=key.environment
    )


def _grants_of(key: ApiKey) -> dict[str, object]:
    return {
        "name": key.name,
        "kind": key.kind,
        "prefix": key.current.prefix,
        "last_four": key.current.last_four,
        "scopes": key.scopes,
        "roles": key.roles,
        "allowed_cidrs": key.allowed_cidrs,
        "expires_at": key.expires_at,
    }
