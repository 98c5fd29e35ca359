"""SQL of tenants."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.tenants.models import Tenant


async def add(session: AsyncSession, tenant: Tenant) -> None:
    """Store a new tenant."""
    session.add(tenant)
    await session.flush()


async def find(session: AsyncSession, tenant_id: UUID) -> Tenant | None:
    """Return a tenant."""
    return await session.scalar(select(Tenant).where(Tenant.id == tenant_id))


async def lock(session: AsyncSession, tenant_id: UUID) -> Tenant | None:
    """Return a tenant that nobody else changes until this transaction ends."""
    return await session.scalar(select(Tenant).where(Tenant.id == tenant_id).with_for_update())


async def hold(session: AsyncSession, tenant_id: UUID) -> bool:
    """Keep a tenant from being removed until this transaction ends; False if there is none."""
    statement = select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True, read=True)
    return await session.scalar(statement) is not None


async def page(session: AsyncSession, *, position: UUID | None, limit: int) -> Sequence[Tenant]:
    """Return up to ``limit`` tenants, newest first, after ``position``."""
    statement = select(Tenant).order_by(Tenant.id.desc()).limit(limit)
    if position is not None:
        statement = statement.where(Tenant.id < position)
    return (await session.scalars(statement)).all()
