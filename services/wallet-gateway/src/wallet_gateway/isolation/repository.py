"""SQL of what processes tell one another of breakers: table ``wallet_breakers``, read along with each wallet."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_OPENED = text(
    "INSERT INTO wallet_breakers (wallet_id, open_until) VALUES (:wallet_id, now() + make_interval(secs => :seconds))"
    " ON CONFLICT (wallet_id) DO UPDATE SET open_until = GREATEST(wallet_breakers.open_until, excluded.open_until)"
)
_CLOSED = text("DELETE FROM wallet_breakers WHERE wallet_id = :wallet_id")


async def note_opened(session: AsyncSession, *, wallet_id: UUID, seconds: float) -> None:
    """Tell that a breaker is open for so long; never for less than another process said."""
    await session.execute(_OPENED, {"wallet_id": wallet_id, "seconds": seconds})


async def note_closed(session: AsyncSession, *, wallet_id: UUID) -> None:
    """Tell that a wallet answers again."""
    await session.execute(_CLOSED, {"wallet_id": wallet_id})
