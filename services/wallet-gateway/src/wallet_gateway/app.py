"""The API of the wallet gateway: ``uvicorn --factory --no-proxy-headers wallet_gateway.app:create_app``."""

from importlib.metadata import version

from fastapi import FastAPI

from shared.app_factory import create_service_app
from wallet_gateway.balances.routes import router as balances_router
from wallet_gateway.external_wallets.routes import router as external_wallets_router
from wallet_gateway.home_wallet.routes import router as home_wallet_router
from wallet_gateway.reconciliation.routes import router as reconciliation_router
from wallet_gateway.resources import open_resources
from wallet_gateway.settings import Settings
from wallet_gateway.transfers.routes import router as transfers_router

__all__ = ["Settings", "create_app"]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; without ``settings`` they come from the environment. Does no I/O."""
    loaded = settings or Settings.load()
    return create_service_app(
        title="wallet-gateway",
        version=version("wallet-gateway"),
        description="Balances of external wallets, and transfers between them and the home wallet.",
        settings=loaded,
        has_process=settings is None,
        open_resources=lambda registry: open_resources(loaded, registry, serves=True),
        # Looked through in this order for each call: those that come by the hundred stand first.
        routers=(balances_router, transfers_router, external_wallets_router, home_wallet_router, reconciliation_router),
    )
