"""The worker of the wallet gateway: the transfer engine, and arq for cron. Entry: ``python -m wallet_gateway.worker``."""

from shared.idempotency import tasks as idempotency
from shared.worker_process import WorkerPlan, run_worker
from wallet_gateway.resources import open_engine_parts
from wallet_gateway.settings import Settings
from wallet_gateway.transfers.engine import Engine


def main() -> None:
    """Run until SIGTERM."""
    settings = Settings.load()
    run_worker(
        WorkerPlan(
            service="wallet-gateway",
            settings=settings,
            open_resources=lambda registry: open_engine_parts(settings, registry),
            make_engine=Engine,
            cron_jobs=[idempotency.hourly()],
        )
    )


if __name__ == "__main__":
    main()
