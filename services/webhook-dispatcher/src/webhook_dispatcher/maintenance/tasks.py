"""Cron: make the next days' partitions."""

from typing import Any

import structlog

from webhook_dispatcher.resources import WorkerResources

log = structlog.get_logger()


async def maintain(ctx: dict[Any, Any]) -> None:
    """Make the partitions of the next days; harmless when repeated."""
    resources: WorkerResources = ctx["resources"]
    failed = await resources.partitions.make()
    log.info("maintenance.done", partitions_missing=failed)
