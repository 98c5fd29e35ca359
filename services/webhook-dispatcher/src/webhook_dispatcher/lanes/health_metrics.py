"""Metrics of lanes and of webhooks' health. Labels are bounded: at most ten webhooks are named at a time."""

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from shared import typeids
from webhook_dispatcher.lanes.health_repository import Overview
from webhook_dispatcher.webhooks.health import Health

NAMED_MAX = 10


class HealthMetrics:
    """Webhooks by health, changes of breakers, and how far the lanes of this worker lie behind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.webhooks = Gauge(
            "causeway_webhooks", "Webhooks of this worker's lanes by health", ("health",), registry=registry
        )
        self.changes = Counter(
            "causeway_webhook_health_changes",
            "Breakers that opened (failing) or closed (recovered), webhooks disabled by us",
            ("change",),
            registry=registry,
        )
        self.lane_lag_seconds = Gauge(
            "causeway_lane_lag_seconds",
            "For how long the longest waiting delivery is due that nothing holds, at the last look",
            registry=registry,
        )
        self.oldest_pending_seconds = Gauge(
            "causeway_oldest_pending_seconds",
            "For how long a webhook's longest waiting delivery is due, held or not; the ten worst webhooks",
            ("webhook_id",),
            registry=registry,
        )

    def show(self, overview: Overview) -> None:
        """Show the figures of now; webhooks that are among the worst no more are dropped."""
        for health in get_args(Health):
            self.webhooks.labels(health).set(overview.by_health.get(health, 0))
        self.oldest_pending_seconds.clear()
        for webhook_id, seconds in overview.oldest_pending.items():
            self.oldest_pending_seconds.labels(typeids.encode("wh", webhook_id)).set(seconds)
