"""Metrics of the intake from the stream."""

from prometheus_client import CollectorRegistry, Counter, Histogram


class IntakeMetrics:
    """Entries by what became of them, and the time of a batch from read to acknowledgement."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.read = Counter("causeway_stream_entries_read", "Stream entries read", registry=registry)
        self.accepted = Counter("causeway_events_accepted", "New events accepted from the stream", registry=registry)
        self.duplicates = Counter("causeway_events_duplicate", "Events known already", registry=registry)
        self.rejected = Counter(
            "causeway_events_rejected", "Entries rejected by reason", ("reason",), registry=registry
        )
        self.seconds = Histogram(
            "causeway_intake_batch_seconds",
            "Time of a batch from read to acknowledgement",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=registry,
        )
