"""Rules of key pairs: one public and one secret key, made together, each replacing its predecessor.

A new key takes over the name, grants, addresses, metadata and a coming expiry of the one it replaces. The first pair gets a
public key that may read all a browser may, and a secret key with the role ``integration``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.api_keys import bounds, grants
from credentials.api_keys import repository as api_keys
from credentials.api_keys.bounds import Bounds
from credentials.api_keys.changes import check_holds_all
from credentials.api_keys.errors import EnvironmentMismatch
from credentials.api_keys.models import ApiKey
from credentials.api_keys.owner import KeyCaller, Owner
from credentials.api_keys.schemas import ApiKeyCreate
from credentials.api_keys.service import IssuedKey, end, new_key, record_creation, target_of
from credentials.audit.service import record
from credentials.key_pairs import repository
from credentials.key_pairs.schemas import PairWanted
from credentials.key_rotation.overlap import end_of_replaced
from credentials.revocations.feed import RevocationFeed
from credentials.tenants import service as tenants
from credentials.verification.key_hashing import PepperRing
from shared import key_format, typeids
from shared.key_format import Environment
from shared.problems import TenantRequired
from shared.scopes import PUBLIC_SCOPES

PairKind = Literal["public", "secret"]

_FIRST_SCOPES: dict[PairKind, Sequence[str]] = {"public": sorted(PUBLIC_SCOPES), "secret": ()}
_FIRST_ROLES: dict[PairKind, Sequence[str]] = {"public": (), "secret": ("integration",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedPair:
    """A new pair and its texts."""

    public: IssuedKey
    secret: IssuedKey


async def regenerate(
    session: AsyncSession,
    *,
    caller: KeyCaller,
    wanted: PairWanted,
    peppers: PepperRing,
    feed: RevocationFeed,
    now: datetime,
) -> IssuedPair:
    """Make a realm's new pair; the one before ends now, or with the overlap and never past its own expiry.

    Raises TenantRequired, NotFound for a tenant that does not exist, EnvironmentMismatch, or ScopeEscalation unless the
    caller has all the new keys get.
    """
    if caller.owner.tenant_id is None:
        raise TenantRequired
    tenant_id, environment = caller.owner.tenant_id, wanted.environment
    if not caller.owner.covers(environment):
        raise EnvironmentMismatch
    grants.check_maker(caller.principal, kind="secret", environment=environment)
    await tenants.hold(session, tenant_id=tenant_id)
    pair = await repository.lock(session, tenant_id=tenant_id, environment=environment)
    owner = Owner(tenant_id=tenant_id, environment=environment)
    old_public = await _find(session, owner=owner, key_id=pair.public_key_id)
    old_secret = await _find(session, owner=owner, key_id=pair.secret_key_id)

    async def issue(kind: PairKind, old: ApiKey | None) -> IssuedKey:
        form = await _form(session, caller=caller, kind=kind, environment=environment, old=old, now=now)
        text = SecretStr(key_format.generate(kind, environment))
        maker = caller.principal.credential_id
        key = new_key(form, tenant_id=tenant_id, text=text, created_by=maker, peppers=peppers, now=now)
        await api_keys.add(session, key)
        await record_creation(session, key, actor=caller.actor)
        return IssuedKey(key=key, text=text)

    issued = IssuedPair(public=await issue("public", old_public), secret=await issue("secret", old_secret))
    pair.public_key_id, pair.secret_key_id = issued.public.key.id, issued.secret.key.id
    replaced = [
        old
        for old, new in ((old_public, issued.public.key), (old_secret, issued.secret.key))
        if old is not None and await _replace(session, old, new, caller=caller, wanted=wanted, now=now)
    ]
    await session.flush()
    for old in replaced:
        await feed.announce(session, target_kind="credential", target_id=old.id, reason="api_key.replaced")
    return issued


async def _find(session: AsyncSession, *, owner: Owner, key_id: UUID | None) -> ApiKey | None:
    return None if key_id is None else await api_keys.find(session, owner=owner, key_id=key_id, lock=True)


async def _form(
    session: AsyncSession,
    *,
    caller: KeyCaller,
    kind: PairKind,
    environment: Environment,
    old: ApiKey | None,
    now: datetime,
) -> ApiKeyCreate:
    if old is None:
        form = ApiKeyCreate(
            name=f"{kind.capitalize()} key",
            kind=kind,
            environment=environment,
            scopes=[*_FIRST_SCOPES[kind]],
            roles=[*_FIRST_ROLES[kind]],
        )
        grants.check_grant(
            creator=caller.principal, kind=kind, environment=environment, scopes=form.scopes, roles=form.roles
        )
        await _check_bounds(session, caller=caller, form=form)
        return form
    await check_holds_all(session, caller=caller, key=old)
    # As it stands: what was allowed when it was made is no fault of this request.
    form = ApiKeyCreate.model_construct(
        name=old.name,
        kind=kind,
        environment=environment,
        scopes=old.scopes,
        roles=old.roles,
        allowed_cidrs=old.allowed_cidrs,
        metadata=old.key_metadata,
        expires_at=old.expires_at if old.expires_at is not None and old.expires_at > now else None,
    )
    await _check_bounds(session, caller=caller, form=form)
    return form


async def _check_bounds(session: AsyncSession, *, caller: KeyCaller, form: ApiKeyCreate) -> None:
    new = Bounds(allowed_cidrs=form.allowed_cidrs, expires_at=form.expires_at)
    await bounds.check(session, creator=caller.principal, bounds=new)


async def _replace(
    session: AsyncSession, old: ApiKey, new: ApiKey, *, caller: KeyCaller, wanted: PairWanted, now: datetime
) -> bool:
    """End a replaced key; False if it had ended before."""
    if old.status(now) != "active":
        return False
    replaced_by = {"replaced_by": typeids.encode("key", new.id)}
    if wanted.overlap_seconds == 0:
        await end(session, old, actor=caller.actor, now=now, because=replaced_by)
        return True
    before = old.expires_at
    old.expires_at = end_of_replaced(now=now, overlap_seconds=wanted.overlap_seconds, expires_at=before)
    old.end_versions_by(old.expires_at)
    changes = {**replaced_by, "expires_at": [before, old.expires_at]}
    await record(session, action="api_key.updated", actor=caller.actor, target=target_of(old), changes=changes)
    return True
