"""SQL of ``oauth_revoked_tokens``."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


async def add(session: AsyncSession, token_id: UUID, *, ends_at: datetime) -> bool:
    """Note a revoked token until ``ends_at``; tell whether it is news."""
    added = await session.scalar(
        text(
            "INSERT INTO oauth_revoked_tokens (token_id, ends_at) VALUES (:token_id, :ends_at)"
            " ON CONFLICT (token_id) DO NOTHING RETURNING token_id"
        ),
        {"token_id": token_id, "ends_at": ends_at},
    )
    return added is not None


async def forget_ended(session: AsyncSession, *, now: datetime) -> None:
    """Remove the tokens whose own end has come."""
    await session.execute(text("DELETE FROM oauth_revoked_tokens WHERE ends_at < :now"), {"now": now})
