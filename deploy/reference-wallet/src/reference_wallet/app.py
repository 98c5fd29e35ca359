"""The reference wallet: ``uvicorn --factory --no-proxy-headers reference_wallet.app:create_app``."""

from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware import Middleware

from reference_wallet.discovery.routes import router as discovery_router
from reference_wallet.faults.sending import TransportInScope
from reference_wallet.resources import open_resources
from reference_wallet.settings import Settings
from reference_wallet.signed_calls.quick_calls import QuickCalls
from reference_wallet.systems.routes import router as control_router
from reference_wallet.transfers.routes import router as transfers_router
from reference_wallet.transfers.rules import WalletRules
from reference_wallet.wallets.routes import router as wallets_router
from shared.app_factory import create_service_app

__all__ = ["Settings", "create_app"]


def create_app(settings: Settings | None = None, rules: WalletRules | None = None) -> FastAPI:
    """Return the application; without ``settings`` they come from the environment. Does no I/O.

    ``rules`` are the protocol's unless a test breaks one of them.
    """
    loaded = settings or Settings.load()
    routers = [discovery_router, wallets_router, transfers_router]
    if loaded.control_token.get_secret_value():
        routers.append(control_router)
    app = create_service_app(
        title="reference-wallet",
        version=version("reference-wallet"),
        description="A wallet system that implements the external wallet protocol ewp/1.",
        settings=loaded,
        has_process=settings is None,
        open_resources=lambda _registry: open_resources(loaded, rules or WalletRules()),
        routers=routers,
    )
    # The last one is the innermost: inside of what surrounds every request.
    app.user_middleware.append(Middleware(QuickCalls, routes=transfers_router.routes))
    build = app.build_middleware_stack
    # Around everything, where uvicorn's own objects can still be seen: a fault cuts the connection itself.
    app.build_middleware_stack = lambda: TransportInScope(build())  # type: ignore[method-assign]  # the one place below all middleware
    return app
