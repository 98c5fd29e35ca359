"""The worker of credentials: ``python -m credentials.worker``. Its jobs clean up; nothing waits for them."""

from credentials.leaked_keys import tasks as leaked_keys
from credentials.oauth import tasks as oauth
from credentials.resources import open_resources
from credentials.revocations import tasks as revocations
from credentials.settings import Settings
from shared.idempotency import tasks as idempotency
from shared.worker_process import WorkerPlan, run_worker


def main() -> None:
    """Run until SIGTERM."""
    settings = Settings.load()
    run_worker(
        WorkerPlan(
            service="credentials",
            settings=settings,
            open_resources=lambda _registry: open_resources(settings, serves=False),
            cron_jobs=[idempotency.hourly(), oauth.hourly(), revocations.hourly(), leaked_keys.often()],
        )
    )


if __name__ == "__main__":
    main()
