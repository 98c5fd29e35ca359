"""All SQL of the keys that a wallet's calls are signed with; read along with the wallet where it is called."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from wallet_gateway.external_wallets.repository import SealedKey


async def insert_key(session: AsyncSession, *, key_id: UUID, wallet_id: UUID, sealed_secret: bytes) -> datetime:
    """Add a key that does not end; returns when it was made."""
    statement = text(
        "INSERT INTO wallet_keys (id, wallet_id, sealed_secret) VALUES (:id, :wallet_id, :sealed_secret)"
        " RETURNING created_at"
    )
    values = {"id": key_id, "wallet_id": wallet_id, "sealed_secret": sealed_secret}
    created_at: datetime = (await session.execute(statement, values)).scalar_one()
    return created_at


async def active_keys(session: AsyncSession, *, wallet_id: UUID) -> Sequence[SealedKey]:
    """Return the keys that sign now, newest first."""
    statement = text(
        "SELECT id, wallet_id, sealed_secret, created_at, expires_at FROM wallet_keys"
        " WHERE wallet_id = :wallet_id AND (expires_at IS NULL OR expires_at > now()) ORDER BY id DESC"
    )
    return [SealedKey(**row._mapping) for row in await session.execute(statement, {"wallet_id": wallet_id})]


async def expire_keys(session: AsyncSession, *, wallet_id: UUID, overlap_seconds: int) -> datetime:
    """Let the keys that sign now end after the overlap, never later than they would have; drop ended ones."""
    await session.execute(
        text("DELETE FROM wallet_keys WHERE wallet_id = :wallet_id AND expires_at <= now()"), {"wallet_id": wallet_id}
    )
    statement = text(
        "UPDATE wallet_keys SET expires_at = LEAST(expires_at, now() + make_interval(secs => :overlap_seconds))"
        " WHERE wallet_id = :wallet_id RETURNING expires_at"
    )
    values = {"wallet_id": wallet_id, "overlap_seconds": overlap_seconds}
    ends: list[datetime] = list((await session.execute(statement, values)).scalars())
    return max(ends)
