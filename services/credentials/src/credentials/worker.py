"""The worker of credentials: ``python -m credentials.worker``. Its jobs clean up; nothing waits for them."""

from typing import Any

from arq.cron import cron

from credentials.resources import Resources, open_resources
from credentials.settings import Settings
from shared.idempotency.repository import forget_older_than
from shared.worker_process import WorkerPlan, run_worker

IDEMPOTENCY_HOURS = 48


async def forget_answers(context: dict[str, Any]) -> None:
    """Remove kept answers whose time is over."""
    resources: Resources = context["resources"]
    async with resources.database.transaction() as session:
        await forget_older_than(session, hours=IDEMPOTENCY_HOURS)


def main() -> None:
    """Run until SIGTERM."""
    settings = Settings.load()
    run_worker(
        WorkerPlan(
            service="credentials",
            settings=settings,
            open_resources=lambda: open_resources(settings, serves=False),
            cron_jobs=[cron(forget_answers, minute=17)],  # type: ignore[arg-type]  # arq's type wants arguments that a cron job never gets
        )
    )


if __name__ == "__main__":
    main()
