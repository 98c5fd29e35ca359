"""SQL of audit entries: table ``audit_entries``, made by each service's own migration (``TABLE_DDL``)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller, Realm

TABLE_DDL = """
CREATE TABLE audit_entries (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    environment text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL,
    actor text NOT NULL,
    target text NOT NULL,
    request_id text NOT NULL,
    ip inet,
    changes jsonb NOT NULL DEFAULT '{}'
)
"""
REALM_DDL = "CREATE INDEX audit_entries_realm ON audit_entries (tenant_id, environment, id)"

_INSERT = text(
    "INSERT INTO audit_entries (id, tenant_id, environment, action, actor, target, request_id, ip, changes)"
    " VALUES (:id, :tenant_id, :environment, :action, :actor, :target, :request_id, :ip, :changes)"
).bindparams(bindparam("ip", type_=INET), bindparam("changes", type_=JSONB))


async def record(
    session: AsyncSession, caller: Caller, *, action: str, target: str, changes: Mapping[str, Any] | None = None
) -> None:
    """Write an entry of a request. ``changes`` must hold no secret."""
    await _insert(
        session,
        caller.realm,
        {
            "action": action,
            "actor": caller.actor,
            "target": target,
            "request_id": caller.request_id,
            "ip": str(caller.ip) if caller.ip else None,
            "changes": dict(changes or {}),
        },
    )


async def record_own(
    session: AsyncSession,
    *,
    realm: Realm,
    actor: str,
    action: str,
    target: str,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Write an entry of what a service did by itself; ``actor`` names its part. ``changes`` must hold no secret."""
    values = {"action": action, "actor": actor, "target": target, "changes": dict(changes or {})}
    await _insert(session, realm, {**values, "request_id": "", "ip": None})


async def delete_older_than(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` entries that were written before a moment, whoever's they are; returns how many that were."""
    statement = text(
        "DELETE FROM audit_entries WHERE id IN (SELECT id FROM audit_entries WHERE id < :before ORDER BY id LIMIT :limit)"
        " RETURNING id"
    )
    return len((await session.execute(statement, {"before": typeids.lower_bound(before), "limit": limit})).all())


async def _insert(session: AsyncSession, realm: Realm, values: Mapping[str, Any]) -> None:
    realm_values = {"tenant_id": realm.tenant_id, "environment": realm.environment}
    await session.execute(_INSERT, {"id": typeids.new_id(), **realm_values, **values})
