"""The worker of the dispatcher: the delivery engine, and arq for cron. Entry: ``python -m webhook_dispatcher.worker``."""

from typing import Any

from arq import cron

from shared.audit_entries import tasks as audit_entries
from shared.idempotency import tasks as idempotency
from shared.worker_process import WorkerPlan, run_worker
from webhook_dispatcher.lanes.engine import Engine
from webhook_dispatcher.maintenance.tasks import maintain
from webhook_dispatcher.resources import WorkerResources, open_worker_resources
from webhook_dispatcher.retention.tasks import half_hourly
from webhook_dispatcher.settings import Settings


def plan(settings: Settings) -> WorkerPlan[WorkerResources]:
    """Return what the worker opens and runs."""
    maintenance: Any = maintain
    return WorkerPlan(
        service="webhook-dispatcher",
        settings=settings,
        open_resources=lambda registry: open_worker_resources(settings, registry),
        make_engine=Engine,
        cron_jobs=[
            cron(maintenance, name="maintain", minute={7, 37}, run_at_startup=True),
            half_hourly(),
            idempotency.hourly(),
            audit_entries.hourly(),
        ],
    )


if __name__ == "__main__":
    run_worker(plan(Settings.load()))
