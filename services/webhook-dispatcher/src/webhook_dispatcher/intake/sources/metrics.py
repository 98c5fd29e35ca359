"""Metrics of the queue sources."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class SourceMetrics:
    """Messages by what became of them, for each source."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.accepted = Counter(
            "causeway_source_events_accepted", "New events accepted from a queue source", ("source",), registry=registry
        )
        self.duplicates = Counter(
            "causeway_source_events_duplicate", "Events known already", ("source",), registry=registry
        )
        self.rejected = Counter(
            "causeway_source_events_rejected",
            "Messages kept in the list of rejected events, by reason",
            ("source", "reason"),
            registry=registry,
        )
        self.connected = Gauge(
            "causeway_source_connected", "Whether the broker of a source is connected", ("source",), registry=registry
        )
