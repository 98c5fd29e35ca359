"""Changing a key: less room is open to whoever may write keys, more of it to whoever could have made such a key.

Room is addresses and time. Scopes and roles are given anew as a whole, as for a new key: who could not give all that is asked
for does not change them, not even to fewer.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credentials.api_keys import bounds, grants
from credentials.api_keys.address_list import is_within
from credentials.api_keys.bounds import Bounds
from credentials.api_keys.errors import ApiKeyRevoked
from credentials.api_keys.models import ApiKey
from credentials.api_keys.owner import KeyCaller
from credentials.api_keys.schemas import ApiKeyChange
from credentials.api_keys.service import lock, target_of
from credentials.audit.chain import canonical_json
from credentials.audit.service import record
from credentials.revocations.feed import RevocationFeed
from credentials.roles import service as roles
from shared.scopes import BUILT_IN_ROLES, PLATFORM_SCOPES, TENANT_SCOPES

_ATTRIBUTES = {"metadata": "key_metadata"}
_UNVERIFIED = frozenset({"metadata"})
"""What no verification depends on, and no answer of one shows."""


async def change(
    session: AsyncSession, *, caller: KeyCaller, key_id: UUID, wanted: ApiKeyChange, feed: RevocationFeed
) -> ApiKey:
    """Change a key; raises NotFound, ApiKeyRevoked, ValidationFailed, ScopeEscalation or EnvironmentMismatch."""
    key = await lock(session, owner=caller.owner, key_id=key_id)
    asked = wanted.model_dump(exclude_unset=True)
    changes = {field: (_value(key, field), value) for field, value in asked.items() if _value(key, field) != value}
    if not changes:
        return key
    if key.revoked_at is not None:
        raise ApiKeyRevoked
    gives_more = widens(changes)
    if {"scopes", "roles"} & changes.keys():
        await _check_new_grants(session, caller=caller, key=key, asked=asked)
    elif gives_more:
        await _check_holds_grants(session, caller=caller, key=key)
    if gives_more or grants_more(changes):
        after = Bounds(
            allowed_cidrs=asked.get("allowed_cidrs", key.allowed_cidrs),
            expires_at=asked.get("expires_at", key.expires_at),
        )
        await bounds.check(session, creator=caller.principal, bounds=after)
    for field, (_, value) in changes.items():
        setattr(key, _ATTRIBUTES.get(field, field), value)
    if key.expires_at is not None:
        key.end_versions_by(key.expires_at)
    await record(
        session, action="api_key.updated", actor=caller.actor, target=target_of(key), changes=_recorded(changes)
    )
    if changes.keys() - _UNVERIFIED:
        # Also where it widens: a denial that is still remembered is as wrong as a permission.
        await feed.announce(session, target_kind="credential", target_id=key.id, reason="api_key.updated")
    return key


def widens(changes: Mapping[str, tuple[Any, Any]]) -> bool:
    """Tell whether a key could be used from more places, or for longer, after these changes ({field: (old, new)})."""
    if "allowed_cidrs" in changes:
        old, new = changes["allowed_cidrs"]
        if not is_within(new, old):
            return True
    if "expires_at" in changes:
        old, new = changes["expires_at"]
        return new is None or (old is not None and new > old)
    return False


def grants_more(changes: Mapping[str, tuple[Any, Any]]) -> bool:
    """Tell whether a key would be given a scope or a role that it was not given before."""
    return any(
        not set(changes[field][1]) <= set(changes[field][0]) for field in ("scopes", "roles") if field in changes
    )


async def check_holds_all(session: AsyncSession, *, caller: KeyCaller, key: ApiKey) -> None:
    """Raise ScopeEscalation or EnvironmentMismatch unless the caller could make a key that may do all this one may.

    For whatever gives a key's holder a new text, or an older one a longer life: it would lend the caller what it lacks.
    """
    await _check_holds_grants(session, caller=caller, key=key)
    held = Bounds(allowed_cidrs=key.allowed_cidrs, expires_at=key.expires_at)
    await bounds.check(session, creator=caller.principal, bounds=held)


async def _check_holds_grants(session: AsyncSession, *, caller: KeyCaller, key: ApiKey) -> None:
    grants.check_maker(caller.principal, kind=key.kind, environment=key.environment)
    own_roles = await roles.own_roles(session, tenant_id=key.tenant_id, environment=key.environment, names=key.roles)
    own_role_scopes = frozenset[str]().union(*own_roles.values())
    held = grants.effective_scopes(key.scopes, key.roles, own_role_scopes=own_role_scopes)
    grants.check_not_beyond(caller.principal, held & grants.holdable_scopes(key.kind))


async def _check_new_grants(
    session: AsyncSession, *, caller: KeyCaller, key: ApiKey, asked: Mapping[str, Sequence[str]]
) -> None:
    names = asked.get("roles", key.roles)
    own_roles = await roles.own_roles(session, tenant_id=key.tenant_id, environment=key.environment, names=names)
    grants.check_grant(
        creator=caller.principal,
        kind=key.kind,
        environment=key.environment,
        scopes=asked["scopes"] if "scopes" in asked else _known(key.scopes, TENANT_SCOPES.keys() | PLATFORM_SCOPES),
        roles=asked["roles"] if "roles" in asked else _known(key.roles, BUILT_IN_ROLES.keys() | own_roles.keys()),
        own_roles=own_roles,
    )


def _known(names: Iterable[str], known: Iterable[str]) -> list[str]:
    # What was given long ago may be no more, gives nothing, and is no fault of this request.
    return [name for name in names if name in set(known)]


def _value(key: ApiKey, field: str) -> Any:
    return getattr(key, _ATTRIBUTES.get(field, field))


def _recorded(changes: Mapping[str, tuple[Any, Any]]) -> dict[str, list[Any]]:
    """Return the changes as the audit log keeps them: metadata as text, since it may hold fractions."""
    return {
        field: [canonical_json(value) if field == "metadata" else value for value in pair]
        for field, pair in changes.items()
    }
