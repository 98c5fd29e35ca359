"""The API of the dispatcher. Entry: ``uvicorn --factory webhook_dispatcher.app:create_app --no-proxy-headers``."""

from fastapi import FastAPI

from shared.app_factory import create_service_app
from webhook_dispatcher import __version__
from webhook_dispatcher.deliveries.routes import ledger_router
from webhook_dispatcher.deliveries.routes import router as deliveries_router
from webhook_dispatcher.event_types.routes import router as event_types_router
from webhook_dispatcher.events.routes import router as events_router
from webhook_dispatcher.recoveries.routes import router as recoveries_router
from webhook_dispatcher.recoveries.routes import webhook_router as recover_router
from webhook_dispatcher.rejected_events.routes import router as rejected_events_router
from webhook_dispatcher.resources import open_api_resources
from webhook_dispatcher.settings import Settings
from webhook_dispatcher.statistics.routes import router as statistics_router
from webhook_dispatcher.webhooks.routes import router as webhooks_router

__all__ = ["Settings", "create_app"]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; settings come from the environment unless given. Does no I/O."""
    loaded = settings or Settings.load()
    return create_service_app(
        title="webhook-dispatcher",
        version=__version__,
        description="Registers webhooks, accepts events, and shows every delivery with every attempt.",
        settings=loaded,
        has_process=settings is None,
        open_resources=lambda registry: open_api_resources(loaded, registry),
        routers=(
            events_router,  # the one that carries the load: each router before it would be asked about every request
            webhooks_router,
            recover_router,
            statistics_router,
            event_types_router,
            rejected_events_router,
            deliveries_router,
            recoveries_router,
            ledger_router,
        ),
    )
