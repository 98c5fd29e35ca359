"""The worker of the wallet gateway: ``python -m wallet_gateway.worker``."""

from shared.idempotency import tasks as idempotency
from shared.worker_process import WorkerPlan, run_worker
from wallet_gateway.resources import open_resources
from wallet_gateway.settings import Settings


def main() -> None:
    """Run until SIGTERM."""
    settings = Settings.load()
    run_worker(
        WorkerPlan(
            service="wallet-gateway",
            settings=settings,
            open_resources=lambda registry: open_resources(settings, registry, serves=False),
            cron_jobs=[idempotency.hourly()],
        )
    )


if __name__ == "__main__":
    main()
