"""The worker of the wallet gateway: transfers, reconciliation, and arq for cron. Entry: ``python -m wallet_gateway.worker``."""

import asyncio

from shared.audit_entries import tasks as audit_entries
from shared.idempotency import tasks as idempotency
from shared.worker_process import WorkerPlan, run_worker
from wallet_gateway.reconciliation.reconciler import Reconciler
from wallet_gateway.resources import open_engine_parts
from wallet_gateway.settings import Settings
from wallet_gateway.transfers.engine import Engine, EngineParts


class WorkerEngine:
    """The engine of transfers with reconciliation beside it."""

    def __init__(self, parts: EngineParts) -> None:
        self._transfers = Engine(parts)
        self._reconciler = Reconciler(
            database=parts.database,
            wallets=parts.wallets,
            discovery=parts.discovery,
            interval_seconds=parts.settings.reconciliation_interval_seconds,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._transfers.run())
            group.create_task(self._reconciler.run())

    async def stop(self) -> None:
        """Stop transfers in order; a reconciliation that is cut off goes on where it was."""
        await self._transfers.stop()


def main() -> None:
    """Run until SIGTERM."""
    settings = Settings.load()
    run_worker(
        WorkerPlan(
            service="wallet-gateway",
            settings=settings,
            open_resources=lambda registry: open_engine_parts(settings, registry),
            make_engine=WorkerEngine,
            cron_jobs=[idempotency.hourly(), audit_entries.hourly()],
        )
    )


if __name__ == "__main__":
    main()
