"""SQL of the outbox: table ``outbox_events``, made by its owner's own migration (``TABLE_DDL``)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shared.key_format import Environment

TABLE_DDL = """
CREATE TABLE outbox_events (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL,
    tenant_id uuid NOT NULL,
    environment text NOT NULL,
    type text NOT NULL,
    subject text,
    ordering_key text,
    occurred_at timestamptz NOT NULL,
    data bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    refused_at timestamptz,
    refusal text
)
"""
WAITING_DDL = "CREATE INDEX outbox_events_waiting ON outbox_events (position) WHERE refused_at IS NULL"
_RELAY_LOCK = "outbox_events relay"


_COLUMNS = "event_id, tenant_id, environment, type, subject, ordering_key, occurred_at, data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One event of the outbox. ``data`` is JSON, as it was handed in."""

    event_id: str
    tenant_id: UUID
    environment: Environment
    type: str
    subject: str | None
    ordering_key: str | None
    occurred_at: datetime
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Kept):
    """One event that waits to be published."""

    position: int
    created_at: datetime


async def insert(session: AsyncSession, event: Kept) -> None:
    """Add an event within the caller's transaction."""
    statement = text(
        f"INSERT INTO outbox_events ({_COLUMNS}) VALUES"  # noqa: S608 - names are ours
        " (:event_id, :tenant_id, :environment, :type, :subject, :ordering_key, :occurred_at, :data)"
    )
    await session.execute(statement, asdict(event))


async def try_lock(connection: AsyncConnection) -> bool:
    """Become the one relay of this database, for as long as the connection lives."""
    statement = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
    return bool(await connection.scalar(statement, {"name": _RELAY_LOCK}))


async def find_waiting(connection: AsyncConnection, *, limit: int) -> Sequence[Waiting]:
    """Return the oldest events that wait."""
    statement = text(
        f"SELECT position, created_at, {_COLUMNS} FROM outbox_events"  # noqa: S608 - names are ours
        " WHERE refused_at IS NULL ORDER BY position LIMIT :limit"
    )
    return [Waiting(**row._mapping) for row in await connection.execute(statement, {"limit": limit})]


async def delete(connection: AsyncConnection, *, positions: Sequence[int]) -> None:
    """Forget events that were published."""
    statement = text("DELETE FROM outbox_events WHERE position = ANY(CAST(:positions AS bigint[]))")
    await connection.execute(statement, {"positions": list(positions)})


async def refuse(connection: AsyncConnection, *, position: int, refusal: str) -> None:
    """Keep an event that was refused, with the reason; it is not tried again by itself."""
    statement = text("UPDATE outbox_events SET refused_at = now(), refusal = :refusal WHERE position = :position")
    await connection.execute(statement, {"position": position, "refusal": refusal})
