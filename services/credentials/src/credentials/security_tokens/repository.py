"""SQL of security tokens. Every query of a request carries the realm."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from credentials.security_tokens.models import SecurityToken, SecurityTokenVersion
from credentials.tenants.models import Tenant
from shared.access import Realm


async def add(session: AsyncSession, token: SecurityToken) -> None:
    """Store a new token with its version."""
    session.add(token)
    await session.flush()


async def find(session: AsyncSession, *, realm: Realm, lock: bool = False) -> SecurityToken | None:
    """Return the realm's token; with ``lock``, nobody else changes it until this transaction ends."""
    statement = _with_versions(
        select(SecurityToken).where(
            SecurityToken.tenant_id == realm.tenant_id, SecurityToken.environment == realm.environment
        )
    )
    return await session.scalar(statement.with_for_update(of=SecurityToken) if lock else statement)


async def find_own(session: AsyncSession, *, token_id: UUID) -> SecurityToken | None:
    """Return the token that the caller proved to hold."""
    return await session.scalar(_with_versions(select(SecurityToken).where(SecurityToken.id == token_id)))


async def find_by_hashes(session: AsyncSession, hashes: Sequence[bytes]) -> SecurityToken | None:
    """Return the token that has one of these as a version, locked."""
    statement = select(SecurityToken).join(SecurityToken.versions).where(SecurityTokenVersion.secret_hash.in_(hashes))
    return await session.scalar(_with_versions(statement).with_for_update(of=SecurityToken))


async def tenants_without(session: AsyncSession, *, limit: int) -> Sequence[UUID]:
    """Return tenants that have no token, locked, leaving out those that somebody else is dealing with."""
    has_one = select(SecurityToken.id).where(SecurityToken.tenant_id == Tenant.id).exists()
    statement = select(Tenant.id).where(~has_one).order_by(Tenant.id).limit(limit)
    return (await session.scalars(statement.with_for_update(skip_locked=True))).all()


async def page(session: AsyncSession, *, position: UUID | None, limit: int) -> Sequence[SecurityToken]:
    """Return up to ``limit`` tokens of all tenants by id, locked; for the commands of the platform."""
    statement = select(SecurityToken).order_by(SecurityToken.id).limit(limit)
    if position is not None:
        statement = statement.where(SecurityToken.id > position)
    return (await session.scalars(_with_versions(statement).with_for_update(of=SecurityToken))).all()


def _with_versions(statement: Select[SecurityToken]) -> Select[SecurityToken]:
    return statement.options(selectinload(SecurityToken.versions).options(joinedload(SecurityTokenVersion.last_use)))
