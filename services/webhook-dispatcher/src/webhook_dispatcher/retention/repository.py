"""SQL of policies, and of what has an age but no partition: rejected events, recoveries, first matches."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.retention.policy import Policy

_COLUMNS = "tenant_id, environment, retention_days, redact_after_days"


async def find_policies(session: AsyncSession) -> Sequence[Policy]:
    """Return the policies of all realms that have one."""
    rows = await session.execute(text(f"SELECT {_COLUMNS} FROM retention_policies ORDER BY tenant_id, environment"))  # noqa: S608 - a constant
    return [_policy(row) for row in rows]


async def find_policy(session: AsyncSession, realm: Realm) -> Policy:
    """Return a realm's policy; one that asks for nothing where it has none."""
    statement = text(
        f"SELECT {_COLUMNS} FROM retention_policies WHERE tenant_id = :tenant_id AND environment = :environment"  # noqa: S608 - a constant
    )
    values = {"tenant_id": realm.tenant_id, "environment": realm.environment}
    row = (await session.execute(statement, values)).one_or_none()
    return Policy(realm=realm, retention_days=None, redact_after_days=None) if row is None else _policy(row)


async def put_policy(session: AsyncSession, policy: Policy) -> None:
    """Set a realm's policy."""
    statement = text(
        """
        INSERT INTO retention_policies (tenant_id, environment, retention_days, redact_after_days)
        VALUES (:tenant_id, :environment, :retention_days, :redact_after_days)
        ON CONFLICT (tenant_id, environment) DO UPDATE SET retention_days = excluded.retention_days,
            redact_after_days = excluded.redact_after_days, updated_at = now()
        """
    )
    values = {
        "tenant_id": policy.realm.tenant_id,
        "environment": policy.realm.environment,
        "retention_days": policy.retention_days,
        "redact_after_days": policy.redact_after_days,
    }
    await session.execute(statement, values)


async def delete_first_matches(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Remove up to ``limit`` first matches whose event came before a moment; returns how many."""
    statement = text(
        "DELETE FROM first_matches WHERE ctid = ANY (ARRAY(SELECT ctid FROM first_matches WHERE event < :before LIMIT :limit))"
        " RETURNING webhook_id"
    )
    return len((await session.execute(statement, {"before": typeids.lower_bound(before), "limit": limit})).all())


async def delete_recoveries(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Remove up to ``limit`` recoveries that were asked for before a moment and have ended; returns how many."""
    statement = text(
        "DELETE FROM recoveries WHERE id IN (SELECT id FROM recoveries WHERE id < :before AND finished_at IS NOT NULL"
        " ORDER BY id LIMIT :limit) RETURNING id"
    )
    return len((await session.execute(statement, {"before": typeids.lower_bound(before), "limit": limit})).all())


async def delete_rejected(session: AsyncSession, *, before: datetime, realm: Realm | None, limit: int) -> int:
    """Remove up to ``limit`` rejected events that came before a moment, of one realm or of all; returns how many."""
    of_realm = "tenant_id = :tenant_id AND environment = :environment AND" if realm else ""
    statement = text(
        f"DELETE FROM rejected_events WHERE id IN (SELECT id FROM rejected_events WHERE {of_realm} id < :before"  # noqa: S608 - constants
        " ORDER BY id LIMIT :limit) RETURNING id"
    )
    values = {"tenant_id": realm.tenant_id, "environment": realm.environment} if realm else {}
    bound: dict[str, object] = {**values, "before": typeids.lower_bound(before), "limit": limit}
    return len((await session.execute(statement, bound)).all())


def _policy(row: Row[Any]) -> Policy:
    return Policy(
        realm=Realm(tenant_id=row.tenant_id, environment=row.environment),
        retention_days=row.retention_days,
        redact_after_days=row.redact_after_days,
    )
