"""SQL of what wallet systems say they are."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import Realm


async def find_name_of_system(session: AsyncSession, *, realm: Realm, system_id: str, but: UUID) -> str | None:
    """Return the name of another wallet of the realm that says it is this system."""
    statement = text(
        "SELECT name FROM external_wallets WHERE tenant_id = :tenant_id AND environment = :environment"
        " AND deleted_at IS NULL AND id <> :but AND capabilities ->> 'system_id' = :system_id ORDER BY id LIMIT 1"
    )
    values = {"tenant_id": realm.tenant_id, "environment": realm.environment, "system_id": system_id, "but": but}
    found: str | None = await session.scalar(statement, values)
    return found
