"""SQL of reading the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, String, cast, func, literal, or_, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit.models import StoredEntry
from credentials.audit.repository import ChainHead, heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which entries of a chain: those of an environment (None: all) and of none, and what the reader asked for."""

    chain_id: UUID
    environment: str | None
    action: str | None
    actor: str | None
    target: str | None
    from_: datetime | None
    to: datetime | None
    text: str | None


async def newest(session: AsyncSession, chosen: Chosen, *, before: int | None, limit: int) -> Sequence[StoredEntry]:
    """Return up to ``limit`` entries, newest first, that come before a number of the chain."""
    statement = select(StoredEntry).where(*_conditions(chosen)).order_by(StoredEntry.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(StoredEntry.number < before)
    return (await session.scalars(statement)).all()


async def oldest(session: AsyncSession, chosen: Chosen, *, after: int, until: int, limit: int) -> Sequence[StoredEntry]:
    """Return up to ``limit`` entries, oldest first, that come after a number of the chain and not after another."""
    statement = select(StoredEntry).where(*_conditions(chosen)).order_by(StoredEntry.number).limit(limit)
    return (await session.scalars(statement.where(StoredEntry.number > after, StoredEntry.number <= until))).all()


async def run_of(session: AsyncSession, *, chain_id: UUID, after: int, until: int, limit: int) -> Sequence[StoredEntry]:
    """Return the next entries of a whole chain in their order, whatever they say of themselves."""
    statement = select(StoredEntry).where(
        StoredEntry.chain_id == chain_id, StoredEntry.number > after, StoredEntry.number <= until
    )
    return (await session.scalars(statement.order_by(StoredEntry.number).limit(limit))).all()


async def head_of(session: AsyncSession, *, chain_id: UUID) -> ChainHead | None:
    """Return a chain's head as it is noted beside the entries."""
    row = (
        await session.execute(select(heads.c.number, heads.c.hash).where(heads.c.chain_id == chain_id))
    ).one_or_none()
    return None if row is None else ChainHead(number=row.number, hash=row.hash)


async def ends_of(session: AsyncSession, *, chain_id: UUID) -> tuple[ChainHead | None, int]:
    """Return a chain's noted head and the number of its last entry, both of one moment."""
    last = select(func.coalesce(func.max(StoredEntry.number), 0)).where(StoredEntry.chain_id == chain_id)
    statement = select(heads.c.number, heads.c.hash, last.scalar_subquery().label("last")).select_from(
        select(literal(1)).subquery().join(heads, heads.c.chain_id == chain_id, isouter=True)
    )
    row = (await session.execute(statement)).one()
    return None if row.number is None else ChainHead(number=row.number, hash=row.hash), row.last


async def chain_ids(session: AsyncSession) -> Sequence[UUID]:
    """Return every chain that has a head or an entry."""
    statement = union(select(heads.c.chain_id), select(StoredEntry.chain_id)).order_by("chain_id")
    return (await session.scalars(statement)).all()


def _conditions(chosen: Chosen) -> list[ColumnElement[bool]]:
    conditions = [StoredEntry.chain_id == chosen.chain_id]
    if chosen.environment is not None:
        conditions.append(or_(StoredEntry.environment == chosen.environment, StoredEntry.environment.is_(None)))
    if chosen.action is not None:
        conditions.append(StoredEntry.action == chosen.action)
    if chosen.actor is not None:
        conditions.append(StoredEntry.actor_id == chosen.actor)
    if chosen.target is not None:
        conditions.append(StoredEntry.target_id == chosen.target)
    if chosen.from_ is not None:
        conditions.append(StoredEntry.at >= chosen.from_)
    if chosen.to is not None:
        conditions.append(StoredEntry.at < chosen.to)
    if chosen.text is not None:
        conditions.append(_mentions(chosen.text))
    return conditions


def _mentions(text: str) -> ColumnElement[bool]:
    shown = (
        StoredEntry.action,
        StoredEntry.actor_id,
        StoredEntry.target_id,
        StoredEntry.reason,
        StoredEntry.request_id,
        StoredEntry.changes,
        cast(func.host(StoredEntry.ip), String),
    )
    return or_(*(column.icontains(text, autoescape=True) for column in shown))
