"""SQL of re-sealing, for any registered column."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import LargeBinary, Uuid, column, null, select, table, update
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.resealing.sealed_columns import SealedColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedValue:
    """A sealed value and the row it is bound to."""

    row_id: UUID
    tenant_id: UUID | None
    sealed: bytes


async def page(
    session: AsyncSession, where: SealedColumn, *, position: UUID | None, limit: int
) -> Sequence[SealedValue]:
    """Return up to ``limit`` values by row id, after ``position``; nobody else changes them until this transaction ends."""
    row_id, sealed = column(where.row_id, Uuid()), column(where.column, LargeBinary())
    tenant_id = null() if where.tenant_id is None else column(where.tenant_id, Uuid())
    statement = (
        select(row_id.label("row_id"), tenant_id.label("tenant_id"), sealed.label("sealed"))
        .select_from(table(where.table))
        .where(sealed.is_not(None))
        .order_by(row_id)
        .limit(limit)
        .with_for_update()
    )
    if position is not None:
        statement = statement.where(row_id > position)
    return [
        SealedValue(row_id=row.row_id, tenant_id=row.tenant_id, sealed=row.sealed)
        for row in await session.execute(statement)
    ]


async def store(session: AsyncSession, where: SealedColumn, *, row_id: UUID, sealed: bytes) -> None:
    """Put a value in place of the one before; the row is locked."""
    key = column(where.row_id, Uuid())
    place = table(where.table, key, column(where.column, LargeBinary()))
    await session.execute(update(place).where(key == row_id).values({where.column: sealed}))
