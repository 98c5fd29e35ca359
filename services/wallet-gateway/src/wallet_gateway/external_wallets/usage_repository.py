"""SQL that tells what still needs a wallet."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_OPEN = text(
    "SELECT EXISTS (SELECT FROM transfers WHERE source_wallet_id = :id AND status IN ('pending', 'manual_review'))"
    " OR EXISTS (SELECT FROM transfers WHERE target_wallet_id = :id AND status IN ('pending', 'manual_review'))"
)


async def has_open_transfers(session: AsyncSession, *, wallet_id: UUID) -> bool:
    """Tell whether a transfer with this wallet has not ended, review included.

    Holding the wallet ``UPDATE`` keeps new ones from beginning: they hold the wallets that they name ``KEY SHARE``.
    """
    return bool(await session.scalar(_OPEN, {"id": wallet_id}))
