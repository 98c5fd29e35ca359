"""SQL of the platform's first keys."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_LOCK_KEY = 0x0CA05E_B007  # one arbitrary number for "bootstrapping", the same in every release


async def take_turn(session: AsyncSession) -> None:
    """Wait until no other bootstrap runs, and keep others waiting until this transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
