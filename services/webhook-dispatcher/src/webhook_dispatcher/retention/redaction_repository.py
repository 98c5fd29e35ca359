"""SQL that redacts payloads. A delivery that is outstanding is sent as it was accepted: its event is redacted when it has ended.

Whoever takes an ended delivery back shares a lock on its event, and looks whether it was redacted; here the event is locked
first, and then looked for what is outstanding. So of the two one sees the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.walk_repository import walk_indexes


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An event whose payload is to be redacted, with what the payload is made of."""

    id: UUID
    event_id: str
    type: str
    subject: str | None
    occurred_at: datetime
    test: bool


_COLUMNS = "e.id, e.event_id, e.type, e.subject, e.occurred_at, e.test"


async def lock_next(session: AsyncSession, realm: Realm, *, before: datetime, limit: int) -> Sequence[Due]:
    """Lock the next events of a realm that came before a moment and were not looked at yet, up to ``limit``."""
    statement = text(
        f"""
        SELECT {_COLUMNS} FROM events e
        WHERE (e.tenant_id, e.environment, e.id) > (:tenant_id, :environment, (
                SELECT redacted_up_to FROM retention_policies
                WHERE tenant_id = :tenant_id AND environment = :environment
            ))
            AND (e.tenant_id, e.environment, e.id) < (:tenant_id, :environment, :before)
        ORDER BY e.tenant_id, e.environment, e.id LIMIT :limit FOR UPDATE
        """  # noqa: S608 - constants
    )
    values = {**_of(realm), "before": typeids.lower_bound(before), "limit": limit}
    await walk_indexes(session)
    return [Due(**row._mapping) for row in await session.execute(statement, values)]


async def lock_postponed(session: AsyncSession, realm: Realm, *, after: UUID, limit: int) -> Sequence[Due]:
    """Lock events that were still owed when they were looked at, up to ``limit`` after a position."""
    statement = text(
        f"""
        SELECT {_COLUMNS} FROM postponed_redactions p JOIN events e ON e.id = p.event
        WHERE p.tenant_id = :tenant_id AND p.environment = :environment AND p.event > :after
        ORDER BY p.event LIMIT :limit FOR UPDATE OF e
        """  # noqa: S608 - constants
    )
    return [
        Due(**row._mapping) for row in await session.execute(statement, {**_of(realm), "after": after, "limit": limit})
    ]


async def redact(session: AsyncSession, realm: Realm, *, due: Sequence[Due], payloads: Sequence[bytes]) -> int:
    """Put these payloads in the place of those of locked events, and empty the bodies of their attempts; returns how many.

    What is still owed to somebody is left as it is, and noted as postponed.
    """
    statement = text(
        """
        WITH asked AS MATERIALIZED (
            SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:payloads AS bytea[])) AS a (id, payload)
        ), quiet AS MATERIALIZED (
            SELECT * FROM asked WHERE NOT EXISTS (
                SELECT 1 FROM deliveries d
                WHERE d.id >= leading_floor(asked.id) AND d.id <= leading_ceiling(asked.id) AND d.event = asked.id OFFSET 0
            )
        ), redacted AS (
            UPDATE events e SET payload = quiet.payload, redacted_at = now() FROM quiet
            WHERE e.id = quiet.id AND e.redacted_at IS NULL RETURNING e.id
        ), ended AS MATERIALIZED (
            SELECT h.id FROM quiet CROSS JOIN LATERAL (
                SELECT id FROM delivery_history
                WHERE id >= leading_floor(quiet.id) AND id <= leading_ceiling(quiet.id) AND event = quiet.id OFFSET 0
            ) h
        ), emptied AS (
            UPDATE attempts SET request_body = NULL, response_body = NULL
            WHERE delivery_id = ANY (ARRAY(SELECT id FROM ended))
        ), done AS (
            DELETE FROM postponed_redactions p USING quiet
            WHERE p.tenant_id = :tenant_id AND p.environment = :environment AND p.event = quiet.id
        ), postponed AS (
            INSERT INTO postponed_redactions (tenant_id, environment, event)
            SELECT CAST(:tenant_id AS uuid), CAST(:environment AS text), id FROM asked WHERE id NOT IN (SELECT id FROM quiet)
            ON CONFLICT DO NOTHING
        )
        SELECT count(*) FROM redacted
        """
    )
    values = {**_of(realm), "ids": [item.id for item in due], "payloads": list(payloads)}
    count: int = (await session.execute(statement, values)).scalar_one()
    return count


async def note_position(session: AsyncSession, realm: Realm, *, position: UUID) -> None:
    """Note up to where a realm's events were looked at."""
    await session.execute(
        text(
            "UPDATE retention_policies SET redacted_up_to = GREATEST(redacted_up_to, :position)"
            " WHERE tenant_id = :tenant_id AND environment = :environment"
        ),
        {**_of(realm), "position": position},
    )


async def forget_gone(session: AsyncSession, *, before: datetime) -> None:
    """Forget what was postponed for events that retention has removed."""
    await session.execute(
        text(
            "DELETE FROM postponed_redactions p WHERE p.event < :before"
            " AND NOT EXISTS (SELECT 1 FROM events e WHERE e.id = p.event)"
        ),
        {"before": typeids.lower_bound(before)},
    )


def _of(realm: Realm) -> dict[str, object]:
    return {"tenant_id": realm.tenant_id, "environment": realm.environment}
