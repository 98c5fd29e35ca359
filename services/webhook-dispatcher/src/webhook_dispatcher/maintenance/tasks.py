"""Cron: make the next days' partitions, forget kept answers whose time is over."""

from typing import Any

import structlog

from shared.idempotency import repository as idempotency
from webhook_dispatcher.maintenance import repository
from webhook_dispatcher.resources import WorkerResources

log = structlog.get_logger()

PARTITION_DAYS_AHEAD = 7
IDEMPOTENCY_HOURS = 48


async def maintain(ctx: dict[Any, Any]) -> None:
    """Run all upkeep; each step is harmless when repeated."""
    resources: WorkerResources = ctx["resources"]
    async with resources.database.transaction() as session:
        await repository.make_partitions(session, days_ahead=PARTITION_DAYS_AHEAD)
    async with resources.database.transaction() as session:
        await idempotency.forget_older_than(session, hours=IDEMPOTENCY_HOURS)
    log.info("maintenance.done", days_ahead=PARTITION_DAYS_AHEAD)
