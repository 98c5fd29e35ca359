"""The job that forgets old rows of the feed."""

from typing import Any

from arq.cron import CronJob, cron

from credentials.revocations import repository
from shared.database import Database

KEPT_HOURS = 24
"""Far longer than any follower is away and goes on: one that was away longer starts anew."""


async def prune_revocations(ctx: dict[Any, Any], *_args: Any, **_kwargs: Any) -> None:
    """Remove what is older than ``KEPT_HOURS``."""
    database: Database = ctx["resources"].database
    async with database.transaction() as session:
        await repository.forget_older_than(session, hours=KEPT_HOURS)


def hourly() -> CronJob:
    """Return the job's schedule; of several workers one runs it."""
    return cron(prune_revocations, minute=13)
