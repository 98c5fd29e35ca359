"""SQL of the upkeep."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


async def make_partitions(session: AsyncSession, *, days_ahead: int) -> None:
    """Make the partitions of today and the next days that do not exist yet. Waits briefly for locks, never long."""
    await session.execute(text("SET LOCAL lock_timeout = '2s'"))
    await session.execute(
        text(
            "CALL make_partitions((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + CAST(:days AS integer))"
        ),
        {"days": days_ahead},
    )
