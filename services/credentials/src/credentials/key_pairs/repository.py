"""SQL of key pairs."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.key_pairs.models import KeyPair
from shared.key_format import Environment


async def lock(session: AsyncSession, *, tenant_id: UUID, environment: Environment) -> KeyPair:
    """Return a realm's pair, empty if there was none yet; nobody else changes it until this transaction ends."""
    place = {"tenant_id": tenant_id, "environment": environment}
    await session.execute(insert(KeyPair).values(place).on_conflict_do_nothing())
    statement = select(KeyPair).where(KeyPair.tenant_id == tenant_id, KeyPair.environment == environment)
    return (await session.scalars(statement.with_for_update())).one()
