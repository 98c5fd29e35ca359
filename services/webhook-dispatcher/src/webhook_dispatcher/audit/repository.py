"""SQL of audit entries: the dispatcher's table has the form that services share."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import Realm
from shared.audit_entries import repository as shared_entries

record = shared_entries.record


async def record_own(
    session: AsyncSession, realm: Realm, *, action: str, target: str, changes: Mapping[str, Any] | None = None
) -> None:
    """Write one entry for what a worker or a command did by itself: its actor is ``system``."""
    await shared_entries.record_own(session, realm=realm, actor="system", action=action, target=target, changes=changes)
