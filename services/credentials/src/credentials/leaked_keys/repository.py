"""SQL of reports of leaked keys."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.leaked_keys.models import LeakedKeyReport


async def add(session: AsyncSession, report: LeakedKeyReport) -> None:
    """Store a report."""
    session.add(report)
    await session.flush()


async def claim(session: AsyncSession) -> LeakedKeyReport | None:
    """Return the oldest report that nobody else is dealing with, locked; None when there is none."""
    statement = select(LeakedKeyReport).order_by(LeakedKeyReport.id).limit(1)
    return await session.scalar(statement.with_for_update(skip_locked=True))


async def remove(session: AsyncSession, report: LeakedKeyReport) -> None:
    """Delete a report that was dealt with."""
    await session.delete(report)
    await session.flush()
