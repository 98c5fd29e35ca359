"""SQL of audit entries."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller, Realm

_INSERT = text(
    "INSERT INTO audit_entries (id, tenant_id, environment, action, actor, target, request_id, ip, changes)"
    " VALUES (:id, :tenant_id, :environment, :action, :actor, :target, :request_id, :ip, :changes)"
).bindparams(bindparam("ip", type_=INET), bindparam("changes", type_=JSONB))


async def record(
    session: AsyncSession, caller: Caller, *, action: str, target: str, changes: Mapping[str, Any] | None = None
) -> None:
    """Write one entry. ``changes`` must hold no secret."""
    await session.execute(
        _INSERT,
        {
            "id": typeids.new_id(),
            "tenant_id": caller.realm.tenant_id,
            "environment": caller.realm.environment,
            "action": action,
            "actor": caller.actor,
            "target": target,
            "request_id": caller.request_id,
            "ip": str(caller.ip) if caller.ip else None,
            "changes": dict(changes or {}),
        },
    )


async def record_own(
    session: AsyncSession, realm: Realm, *, action: str, target: str, changes: Mapping[str, Any] | None = None
) -> None:
    """Write one entry for what a worker or a command did by itself: its actor is ``system``."""
    await session.execute(
        _INSERT,
        {
            "id": typeids.new_id(),
            "tenant_id": realm.tenant_id,
            "environment": realm.environment,
            "action": action,
            "actor": "system",
            "target": target,
            "request_id": "",
            "ip": None,
            "changes": dict(changes or {}),
        },
    )
