"""SQL of the outbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.access import Realm


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One event, in the form of ``POST /v1/events``."""

    id: UUID
    tenant_id: UUID
    environment: Literal["live", "test"]
    event_id: str
    body: bytes
    attempts: int

    @property
    def realm(self) -> Realm:
        """Return whose event it is."""
        return Realm(tenant_id=self.tenant_id, environment=self.environment)


# The first of each ordering key alone: the next one leaves when it is gone. First is what was written first, by Postgres's count:
# ids are of the clocks of whichever process wrote them, and of a transfer's two events the later may have the lower.
_TAKE = text(
    """
    WITH due AS MATERIALIZED (
        SELECT id FROM outbox o
        WHERE due_at <= now()
            AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.ordering_key = o.ordering_key AND e.number < o.number)
        ORDER BY due_at LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE outbox o SET due_at = now() + make_interval(secs => :seconds), attempts = o.attempts + 1
    FROM due WHERE o.id = due.id
    RETURNING o.id, o.tenant_id, o.environment, o.event_id, o.body, o.attempts
    """
)


async def take(connection: AsyncConnection, *, limit: int, seconds: float) -> Sequence[OutboxRow]:
    """Take events that are due; for so many seconds nobody else takes them."""
    rows = await connection.execute(_TAKE, {"limit": limit, "seconds": seconds})
    return [OutboxRow(**row._mapping) for row in rows]


async def delete(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Forget events that the dispatcher has."""
    await connection.execute(text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)})


async def put_off(connection: AsyncConnection, ids: Sequence[UUID], *, seconds: float, error: str) -> None:
    """Try events again in so many seconds."""
    await connection.execute(
        text(
            "UPDATE outbox SET due_at = now() + make_interval(secs => :seconds), last_error = :error"
            " WHERE id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(ids), "seconds": seconds, "error": error},
    )
