"""The job that deals with reports whose process did not get to it."""

from typing import Any

from arq.cron import CronJob, cron

from credentials.leaked_keys.service import LeakedKeys

_SECONDS = {5, 15, 25, 35, 45, 55}


async def deal_with_reports(ctx: dict[Any, Any], *_args: Any, **_kwargs: Any) -> None:
    """Deal with the reports that wait; usually there is none."""
    leaked_keys: LeakedKeys = ctx["resources"].leaked_keys
    await leaked_keys.deal_with_all()


def often() -> CronJob:
    """Return the job's schedule; of several workers one runs it."""
    return cron(deal_with_reports, second=_SECONDS)
