"""Rules of roles. Functions take the request's session and leave the commit to its edge.

A role belongs to a realm, as keys do: a test credential cannot change what a live key may do.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credentials.api_keys.grants import OwnRoles, check_not_beyond
from credentials.audit.service import Actor, Target, record
from credentials.revocations.feed import RevocationFeed
from credentials.roles import built_in, repository
from credentials.roles.errors import BuiltInRole, RoleInUse, RoleNameTaken
from credentials.roles.models import Role
from credentials.roles.repository import Holders
from credentials.roles.schemas import RoleChange, RoleCreate, RoleView, built_in_view_of, view_of
from credentials.tenants import service as tenants
from shared import typeids
from shared.access import Caller, Realm
from shared.key_format import Environment
from shared.pagination import Page, PageQuery, page_of
from shared.problems import NotFound, PointedError, ValidationFailed
from shared.scopes import BUILT_IN_ROLES, PUBLIC_SCOPES


async def own_roles(
    session: AsyncSession, *, tenant_id: UUID | None, environment: Environment, names: Sequence[str]
) -> OwnRoles:
    """Return the realm's own roles among ``names``, unchanged until this transaction ends; for whoever gives roles to a key.

    What belongs to no tenant has no own roles. Asks nothing where all names are built in.
    """
    wanted = [name for name in names if name not in BUILT_IN_ROLES]
    if tenant_id is None or not wanted:
        return {}
    realm = Realm(tenant_id=tenant_id, environment=environment)
    found = await repository.find_by_names(session, realm=realm, names=wanted)
    return {role.name: frozenset(role.scopes) for role in found}


async def list_roles(session: AsyncSession, *, realm: Realm, query: PageQuery) -> Page[RoleView]:
    """Return one page of the realm's own roles, newest first, and after the last of them the built-in ones."""
    position = query.position
    roles = await repository.page(session, realm=realm, position=position, limit=query.limit + 1)
    fixed = [role_id for role_id in sorted(built_in.IDS, reverse=True) if position is None or role_id < position]
    views = [view_of(role) for role in roles] + [built_in_view_of(role_id) for role_id in fixed]
    return page_of(views[: query.limit + 1], limit=query.limit, position=lambda view: view.id, item=lambda view: view)


async def create(session: AsyncSession, *, caller: Caller, wanted: RoleCreate, now: datetime) -> Role:
    """Make a role; raises ScopeEscalation, RoleNameTaken, or NotFound for a tenant that does not exist."""
    check_not_beyond(caller.principal, wanted.scopes)
    await tenants.hold(session, tenant_id=caller.realm.tenant_id)
    role = Role(
        id=typeids.new_id(),
        tenant_id=caller.realm.tenant_id,
        environment=caller.realm.environment,
        name=wanted.name,
        description=wanted.description,
        scopes=wanted.scopes,
        created_at=now,
        created_by=caller.principal.credential_id,
        updated_at=now,
    )
    if built_in.is_built_in_name(role.name) or not await repository.add(session, role):
        raise RoleNameTaken
    changes = {"name": role.name, "scopes": role.scopes, "description": role.description}
    await record(session, action="role.created", actor=_actor(caller), target=_target(role), changes=changes)
    return role


async def change(
    session: AsyncSession, *, caller: Caller, role_id: UUID, wanted: RoleChange, feed: RevocationFeed, now: datetime
) -> Role:
    """Change a role; in force for every key that holds it within a second.

    Raises NotFound, BuiltInRole, ScopeEscalation for added scopes that the caller lacks, ValidationFailed where public keys
    would get what they cannot hold, RoleNameTaken, or RoleInUse for a new name while keys hold it.
    """
    role = await _lock(session, realm=caller.realm, role_id=role_id)
    asked = wanted.model_dump(exclude_unset=True)
    changes = {field: [getattr(role, field), value] for field, value in asked.items() if getattr(role, field) != value}
    if not changes:
        return role
    if "scopes" in changes:
        check_not_beyond(caller.principal, frozenset(asked["scopes"]) - frozenset(role.scopes))
    if {"scopes", "name"} & changes.keys():
        held = await repository.holders(session, realm=caller.realm, name=role.name)
        _check_public_holders(asked.get("scopes", role.scopes), held)
        if "name" in changes:
            await _check_new_name(session, realm=caller.realm, name=asked["name"], held=held)
    for field, value in asked.items():
        setattr(role, field, value)
    role.updated_at = now
    await record(session, action="role.updated", actor=_actor(caller), target=_target(role), changes=changes)
    if "scopes" in changes:
        # The keys that hold it are not enumerated: everything remembered of the tenant is read again.
        await feed.announce(session, target_kind="tenant", target_id=role.tenant_id, reason="role.updated")
    return role


async def remove(session: AsyncSession, *, caller: Caller, role_id: UUID, feed: RevocationFeed) -> None:
    """Delete a role that no key holds; raises NotFound, BuiltInRole or RoleInUse."""
    role = await _lock(session, realm=caller.realm, role_id=role_id)
    _check_unheld(await repository.holders(session, realm=caller.realm, name=role.name))
    await repository.remove(session, role)
    changes = {"name": role.name, "scopes": role.scopes, "description": role.description}
    await record(session, action="role.deleted", actor=_actor(caller), target=_target(role), changes=changes)
    await feed.announce(session, target_kind="tenant", target_id=role.tenant_id, reason="role.deleted")


async def _lock(session: AsyncSession, *, realm: Realm, role_id: UUID) -> Role:
    role = await repository.lock(session, realm=realm, role_id=role_id)
    if role_id in built_in.IDS:
        raise BuiltInRole
    if role is None:
        raise NotFound
    return role


async def _check_new_name(session: AsyncSession, *, realm: Realm, name: str, held: Holders) -> None:
    # Keys name their roles: under a new name they would lose it, or have to be changed behind their owners' backs.
    _check_unheld(held)
    if built_in.is_built_in_name(name) or await repository.is_name_taken(session, realm=realm, name=name):
        raise RoleNameTaken


def _check_unheld(held: Holders) -> None:
    if held.count:
        shown = ", ".join(typeids.encode("key", key_id) for key_id in held.first)
        more = " …" if held.count > len(held.first) else ""
        raise RoleInUse(
            f"Keys that hold this role: {held.count} ({shown}{more}). Take it from them, or revoke them, first."
        )


def _check_public_holders(scopes: Sequence[str], held: Holders) -> None:
    if not held.public_count:
        return
    errors: list[PointedError] = [
        {"pointer": f"/scopes/{index}", "detail": "public keys hold this role, and cannot hold this"}
        for index, scope in enumerate(scopes)
        if scope not in PUBLIC_SCOPES
    ]
    if errors:
        raise ValidationFailed(errors=errors)


def _target(role: Role) -> Target:
    return Target(
        kind="role", id=typeids.encode("role", role.id), tenant_id=role.tenant_id, environment=role.environment
    )


def _actor(caller: Caller) -> Actor:
    return Actor.of(caller.principal, request_id=caller.request_id, ip=caller.ip)
