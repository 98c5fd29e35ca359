"""The job that removes kept answers whose time is over. Used by every service's worker."""

from typing import Any

from arq.cron import CronJob, cron

from shared.database import Database
from shared.idempotency.repository import forget_older_than

KEPT_HOURS = 48
"""The contract promises 24 at least."""


async def forget_answers(ctx: dict[Any, Any], *_args: Any, **_kwargs: Any) -> None:
    """Remove answers older than ``KEPT_HOURS``."""
    database: Database = ctx["resources"].database
    async with database.transaction() as session:
        await forget_older_than(session, hours=KEPT_HOURS)


def hourly() -> CronJob:
    """Return the job's schedule; of several workers one runs it."""
    return cron(forget_answers, minute=17)
