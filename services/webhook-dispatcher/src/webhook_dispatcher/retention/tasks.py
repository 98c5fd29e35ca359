"""Cron: retention."""

from typing import Any

from arq import cron
from arq.cron import CronJob

from webhook_dispatcher.resources import WorkerResources


async def retain(ctx: dict[Any, Any], *_args: Any, **_kwargs: Any) -> None:
    """Remove and redact what is due; of several workers one does."""
    resources: WorkerResources = ctx["resources"]
    await resources.retention.run()


def half_hourly() -> CronJob:
    """Return the job's schedule."""
    return cron(retain, name="retain", minute={22, 52})
