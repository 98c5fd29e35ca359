"""The job that removes audit entries which were kept for long enough. Users: webhook-dispatcher, wallet-gateway."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from arq.cron import CronJob, cron

from shared.audit_entries.repository import delete_older_than
from shared.database import Database

_AT_ONCE = 5_000
_RUN_SECONDS_MAX = 60.0


async def forget_entries(ctx: dict[Any, Any], *_args: Any, **_kwargs: Any) -> None:
    """Remove entries older than the settings' ``audit_days``, in small transactions; the next run goes on where time is up."""
    database: Database = ctx["resources"].database
    before = datetime.now(UTC) - timedelta(days=ctx["resources"].settings.audit_days)
    ends_at = time.monotonic() + _RUN_SECONDS_MAX
    removed = _AT_ONCE
    while removed == _AT_ONCE and time.monotonic() < ends_at:
        async with database.transaction() as session:
            removed = await delete_older_than(session, before=before, limit=_AT_ONCE)


def hourly() -> CronJob:
    """Return the job's schedule; of several workers one runs it."""
    return cron(forget_entries, minute=47)
