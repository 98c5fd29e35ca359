"""Structured logs with secrets taken out, and the metrics registry of a process. Used by every service."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

REDACTED = "[redacted]"
# What our secrets look like, wherever they stand, be it only their beginning: API keys of all kinds, also of wallets, webhook
# secrets, signing keys, access tokens.
_SECRET_TEXT = re.compile(
    r"cw_(?:sk|pk|sv|st)_(?:live|test)_[0-9A-Za-z]+|whs(?:ec|k)_[0-9A-Za-z+/=]+"
    r"|ewk_[0-9A-Za-z_-]{40,}"
    r"|eyJ[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+"
)
CREDENTIAL_PATTERN = (
    r"cw_(sk|pk|sv|st)_(live|test)_[0-9A-Za-z]{20}|whs(ec|k)_[0-9A-Za-z+/=]{20}"
    r"|ewk_[0-9A-Za-z_-]{20}"
    r"|eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8}"
)
"""What a text that is kept may not hold: enough of a secret to be worth anything. Written as JSON Schema takes it, too.

The first and last characters of a key, which are shown so that its owner knows it again, are no secret.
"""
_HELD_SECRET = re.compile(CREDENTIAL_PATTERN)
_SECRET_FIELDS = frozenset(
    {"authorization", "api_key", "x-api-key", "key", "secret", "token", "password", "credential", "cookie"}
    | {"client_secret", "access_token"}
)


def redact(text: str) -> str:
    """Return ``text`` with anything that looks like one of our secrets replaced."""
    return _SECRET_TEXT.sub(REDACTED, text)


def holds_secret(text: str) -> bool:
    """Tell whether ``text`` holds one of our secrets, or most of one."""
    return _HELD_SECRET.search(text) is not None


def _redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        event[name] = REDACTED if name.lower() in _SECRET_FIELDS else _redact_value(value)
    return event


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {
            key: REDACTED if str(key).lower() in _SECRET_FIELDS else _redact_value(item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redact_value(item) for item in value]
    return value


def configure_logging(*, service: str, level: str, log_format: Literal["json", "console"]) -> None:
    """Send structlog and the standard library's records to stderr, one line each, redacted."""
    chain: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_service(service),
    ]
    renderer: list[structlog.types.Processor] = (
        [structlog.processors.format_exc_info, _redact_event, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [structlog.processors.format_exc_info, _redact_event, structlog.dev.ConsoleRenderer(colors=False)]
    )
    numeric = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*chain, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(numeric, logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "arq", "alembic"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # The access log would print query strings; the request's own wide line replaces it.
    logging.getLogger("uvicorn.access").disabled = True
    # One line for each call to a sibling would double the log.
    logging.getLogger("httpx2").setLevel(logging.WARNING)


def _add_service(service: str) -> structlog.types.Processor:
    def add(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    return add


class HttpMetrics:
    """Requests by route template, so that labels stay bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "causeway_http_requests", "HTTP requests", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "causeway_http_request_seconds",
            "Time until the answer was sent",
            ("method", "route"),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )


def new_registry() -> CollectorRegistry:
    """Return a registry of its own per application, with the process's own figures."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
