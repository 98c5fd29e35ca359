"""All SQL of wallets: opening, reading and listing. Their money is moved by transfers alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.types import Numeric, Text

_COLUMNS = "wallet_id, owner_ref, currency, scale, ledger, held, frozen, transfer_max, version"
_OPEN = text(f"""
INSERT INTO wallets (system_id, wallet_id, owner_ref, currency, scale, ledger)
VALUES (:system_id, :wallet_id, :owner_ref, :currency, :scale, :ledger)
ON CONFLICT (system_id, wallet_id) DO UPDATE SET wallet_id = excluded.wallet_id RETURNING {_COLUMNS}
""").bindparams(bindparam("ledger", type_=Numeric))  # noqa: S608 - the names are this module's
_FIND = text(f"SELECT {_COLUMNS} FROM wallets WHERE system_id = :system_id AND wallet_id = :wallet_id")  # noqa: S608 - as above
_PAGE = text(f"""
SELECT {_COLUMNS} FROM wallets
WHERE system_id = :system_id AND (CAST(:owner_refs AS text[]) IS NULL OR owner_ref = ANY(:owner_refs))
  AND (CAST(:currency AS text) IS NULL OR currency = :currency) AND wallet_id > :after
ORDER BY wallet_id LIMIT :limit
""").bindparams(bindparam("owner_refs", type_=ARRAY(Text)), bindparam("currency", type_=Text))  # noqa: S608 - as above
_CHANGE = text(f"""
UPDATE wallets SET frozen = coalesce(:frozen, frozen), transfer_max = coalesce(:transfer_max, transfer_max),
    version = version + 1
WHERE system_id = :system_id AND wallet_id = :wallet_id RETURNING {_COLUMNS}
""").bindparams(bindparam("transfer_max", type_=Numeric))  # noqa: S608 - as above


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One row of ``wallets``."""

    wallet_id: str
    owner_ref: str
    currency: str
    scale: int
    ledger: Decimal
    held: Decimal
    frozen: bool
    transfer_max: Decimal | None
    version: int


async def open_wallet(session: AsyncSession, values: dict[str, Any]) -> Balance:
    """Open a wallet with its first money; one that is open stays as it is."""
    return Balance(**(await session.execute(_OPEN, values)).one()._mapping)


async def change(
    session: AsyncSession, *, system_id: UUID, wallet_id: str, frozen: bool | None, transfer_max: Decimal | None
) -> Balance | None:
    """Freeze, unfreeze, or limit a wallet; None leaves a setting as it is."""
    values = {"system_id": system_id, "wallet_id": wallet_id, "frozen": frozen, "transfer_max": transfer_max}
    row = (await session.execute(_CHANGE, values)).one_or_none()
    return None if row is None else Balance(**row._mapping)


async def find(connection: AsyncConnection, *, system_id: UUID, wallet_id: str) -> Balance | None:
    """Return a wallet of the system."""
    row = (await connection.execute(_FIND, {"system_id": system_id, "wallet_id": wallet_id})).one_or_none()
    return None if row is None else Balance(**row._mapping)


async def page(
    connection: AsyncConnection | AsyncSession,
    *,
    system_id: UUID,
    owner_refs: Sequence[str] | None,
    currency: str | None,
    after: str,
    limit: int,
) -> Sequence[Balance]:
    """Return up to ``limit`` wallets behind ``after`` in the order of their ids; of these owners, or of all."""
    values = {"system_id": system_id, "owner_refs": owner_refs and list(owner_refs), "currency": currency}
    rows = await connection.execute(_PAGE, {**values, "after": after, "limit": limit})
    return [Balance(**row._mapping) for row in rows]
