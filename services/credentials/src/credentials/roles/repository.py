"""SQL of roles. Every query carries the realm."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.api_keys.models import ApiKey
from credentials.roles.models import Role
from shared.access import Realm

_SHOWN_HOLDERS_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """The keys that hold a role and are not revoked: how many, and the first few."""

    count: int
    public_count: int
    first: Sequence[UUID]


async def add(session: AsyncSession, role: Role) -> bool:
    """Store a new role; False if the realm has one of this name, also one that is being made at this moment."""
    values = {column.key: getattr(role, column.key) for column in Role.__table__.columns}
    statement = insert(Role).values(values).on_conflict_do_nothing().returning(Role.id)
    return await session.scalar(statement) is not None


async def lock(session: AsyncSession, *, realm: Realm, role_id: UUID) -> Role | None:
    """Return a role that nobody else changes, or gives to a key, until this transaction ends."""
    return await session.scalar(select(Role).where(Role.id == role_id, *_of(realm)).with_for_update())


async def find_by_names(session: AsyncSession, *, realm: Realm, names: Collection[str]) -> Sequence[Role]:
    """Return the roles of these names; none of them changes until this transaction ends."""
    statement = select(Role).where(*_of(realm), Role.name.in_(names)).order_by(Role.id).with_for_update(read=True)
    return (await session.scalars(statement)).all()


async def is_name_taken(session: AsyncSession, *, realm: Realm, name: str) -> bool:
    """Tell whether the realm has a role of this name."""
    return await session.scalar(select(Role.id).where(*_of(realm), Role.name == name)) is not None


async def page(session: AsyncSession, *, realm: Realm, position: UUID | None, limit: int) -> Sequence[Role]:
    """Return up to ``limit`` roles, newest first, after ``position``."""
    statement = select(Role).where(*_of(realm)).order_by(Role.id.desc()).limit(limit)
    if position is not None:
        statement = statement.where(Role.id < position)
    return (await session.scalars(statement)).all()


async def holders(session: AsyncSession, *, realm: Realm, name: str) -> Holders:
    """Return who holds a role. An expired key counts: its expiry can be moved; a revoked one never comes back."""
    held = (
        ApiKey.tenant_id == realm.tenant_id,
        ApiKey.environment == realm.environment,
        ApiKey.roles.contains([name]),
        ApiKey.revoked_at.is_(None),
    )
    first = select(ApiKey.id).where(*held).order_by(ApiKey.id).limit(_SHOWN_HOLDERS_MAX)
    counts = select(func.count(), func.count().filter(ApiKey.kind == "public")).where(*held)
    count, public_count = (await session.execute(counts)).one()
    return Holders(count=count, public_count=public_count, first=(await session.scalars(first)).all() if count else ())


async def remove(session: AsyncSession, role: Role) -> None:
    """Delete a role."""
    await session.execute(delete(Role).where(Role.id == role.id))
    session.expunge(role)


def _of(realm: Realm) -> tuple[ColumnElement[bool], ...]:
    return (Role.tenant_id == realm.tenant_id, Role.environment == realm.environment)
