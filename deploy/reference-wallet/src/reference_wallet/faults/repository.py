"""All SQL of fault rules: they survive a restart, since a killed wallet is to come back as faulty as it was."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from reference_wallet.faults.rule import ArmedRule, FaultRule

_INSERT = text("INSERT INTO fault_rules (id, system_id, rule) VALUES (:id, :system_id, :rule)").bindparams(
    bindparam("rule", type_=JSON)
)


async def insert(session: AsyncSession, armed: ArmedRule) -> None:
    """Keep a rule."""
    values = {"id": armed.id, "system_id": armed.system_id, "rule": armed.rule.model_dump(mode="json")}
    await session.execute(_INSERT, values)


async def delete_all(session: AsyncSession, *, system_id: UUID) -> None:
    """Forget the rules of a system."""
    await session.execute(text("DELETE FROM fault_rules WHERE system_id = :system_id"), {"system_id": system_id})


async def all_rules(connection: AsyncConnection) -> Sequence[ArmedRule]:
    """Return every rule in the order they came; each may fire as often as when it was new."""
    rows = await connection.execute(text("SELECT id, system_id, rule FROM fault_rules ORDER BY id"))
    return [ArmedRule(id=row.id, system_id=row.system_id, rule=FaultRule.model_validate(row.rule)) for row in rows]
