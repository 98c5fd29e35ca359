"""Cron: make the next days' partitions."""

from typing import Any

import structlog

from webhook_dispatcher.maintenance import repository
from webhook_dispatcher.resources import WorkerResources

log = structlog.get_logger()

PARTITION_DAYS_AHEAD = 7


async def maintain(ctx: dict[Any, Any]) -> None:
    """Make the partitions of the next days; harmless when repeated."""
    resources: WorkerResources = ctx["resources"]
    async with resources.database.transaction() as session:
        await repository.make_partitions(session, days_ahead=PARTITION_DAYS_AHEAD)
    log.info("maintenance.done", days_ahead=PARTITION_DAYS_AHEAD)
