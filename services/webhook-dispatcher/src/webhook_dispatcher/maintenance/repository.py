"""SQL of the upkeep."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


async def find_missing(session: AsyncSession, *, days: Sequence[date]) -> Sequence[tuple[str, date]]:
    """Return the tables and days that have no partition yet, the nearest days first."""
    statement = text(
        """
        SELECT parent, day FROM unnest(ARRAY['events', 'delivery_history', 'attempts']) AS parent,
            unnest(CAST(:days AS date[])) AS day
        WHERE to_regclass(parent || '_' || to_char(day, 'YYYYMMDD')) IS NULL ORDER BY day, parent
        """
    )
    return [(row.parent, row.day) for row in await session.execute(statement, {"days": list(days)})]


async def make_partition(session: AsyncSession, *, parent: str, day: date) -> None:
    """Make one day's partition, and move there what stands in the default one for that day.

    Others wait meanwhile for whatever reads or writes the default partition: so this gives up soon, and leaves all as it was.
    """
    await session.execute(text("SET LOCAL lock_timeout = '2s'"))
    await session.execute(text("SET LOCAL statement_timeout = '5s'"))
    await session.execute(text("CALL make_partition(:parent, :day)"), {"parent": parent, "day": day})
