"""The sources that the settings name. A broker's library is imported here, and only for these."""

from collections.abc import Callable, Sequence
from importlib import import_module

from webhook_dispatcher.intake.lag import LagMetrics
from webhook_dispatcher.intake.sources.acceptor import Acceptor
from webhook_dispatcher.intake.sources.metrics import SourceMetrics
from webhook_dispatcher.intake.sources.source import QueueSource, SourcePlan
from webhook_dispatcher.settings import Settings

_PACKAGE = "webhook_dispatcher.intake.sources"


class SourceNotInstalledError(Exception):
    """A source is configured whose library is not installed; the message names the extra to install."""


def open_sources(
    settings: Settings, *, make_acceptor: Callable[[], Acceptor], metrics: SourceMetrics, lag: LagMetrics
) -> Sequence[QueueSource]:
    """Return the configured sources, not yet connected. Raises SourceNotInstalledError."""
    return [
        QueueSource(_plan(name, settings), acceptor=make_acceptor(), metrics=metrics, lag=lag)
        for name in _configured(settings)
    ]


def _configured(settings: Settings) -> Sequence[str]:
    urls = {
        "kafka": settings.kafka_url,
        "rabbitmq": settings.rabbitmq_url.get_secret_value(),
        "nats": settings.nats_url.get_secret_value(),
    }
    return [name for name, url in urls.items() if url]


def _plan(name: str, settings: Settings) -> SourcePlan:
    try:
        module = import_module(f"{_PACKAGE}.{name}")
    except ImportError as exc:
        raise SourceNotInstalledError(
            f"the source {name} is configured; its library comes with webhook-dispatcher[{name}]"
        ) from exc
    made: SourcePlan = module.plan(settings)
    return made
