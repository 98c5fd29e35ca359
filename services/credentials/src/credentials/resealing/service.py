"""Sealing every kept secret under the newest key. Works in small transactions, and may be run twice, or twice at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from credentials.resealing import repository
from credentials.resealing.repository import SealedValue
from credentials.resealing.sealed_columns import SealedColumn
from shared.database import Database
from shared.sealing import SealContext, SealingError, SealingKeyring, key_id_of

_BATCH = 100


@dataclass(slots=True, kw_only=True)
class Resealed:
    """What became of a column's values."""

    column: SealedColumn
    resealed: int = 0
    as_they_were: int = 0
    unopened: list[UUID] = field(default_factory=list)
    """Rows whose value does not open: its key is not configured, or it was altered. They are left as they are."""


async def reseal(database: Database, *, keyring: SealingKeyring, columns: Sequence[SealedColumn]) -> Sequence[Resealed]:
    """Seal under the newest key whatever is sealed under an older one."""
    return [await _reseal_column(database, keyring, column) for column in columns]


async def _reseal_column(database: Database, keyring: SealingKeyring, column: SealedColumn) -> Resealed:
    result = Resealed(column=column)
    position: UUID | None = None
    while True:
        async with database.transaction() as session:
            values = await repository.page(session, column, position=position, limit=_BATCH)
            for value in values:
                try:
                    sealed = _reseal_value(value, keyring, column)
                except SealingError:
                    result.unopened.append(value.row_id)
                    continue
                if sealed is None:
                    result.as_they_were += 1
                    continue
                await repository.store(session, column, row_id=value.row_id, sealed=sealed)
                result.resealed += 1
        if not values:
            return result
        position = values[-1].row_id


def _reseal_value(value: SealedValue, keyring: SealingKeyring, column: SealedColumn) -> bytes | None:
    """Return the value sealed anew, None where it stands under the newest key; raises SealingError."""
    context = SealContext(table=column.table, column=column.column, row_id=value.row_id, tenant_id=value.tenant_id)
    opened = keyring.open(value.sealed, context=context)
    return None if key_id_of(value.sealed) == keyring.current_key_id else keyring.seal(opened, context=context)
