"""How far the revocation feed was applied, among a process's metrics: the same names in credentials and its siblings."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Applied:
    """How far one service has come; ``took_seconds``: the newest revocation, from its transaction until it was applied."""

    service: str
    sequence: int
    took_seconds: float | None
    is_live: bool


def expose(registry: CollectorRegistry, read: Callable[[], Sequence[Applied]]) -> None:
    """Show what ``read`` returns whenever the metrics are asked for."""
    registry.register(_FeedCollector(read))


class _FeedCollector(Collector):
    def __init__(self, read: Callable[[], Sequence[Applied]]) -> None:
        self._read = read

    def collect(self) -> Iterable[GaugeMetricFamily]:
        sequence = GaugeMetricFamily(
            "causeway_revocations_applied_sequence", "Revocations are applied up to this sequence", labels=["service"]
        )
        took = GaugeMetricFamily(
            "causeway_revocations_took_seconds",
            "The newest revocation, from its transaction until it was applied",
            labels=["service"],
        )
        live = GaugeMetricFamily(
            "causeway_revocations_live",
            "1 while the feed is heard, so that remembered answers serve",
            labels=["service"],
        )
        for applied in self._read():
            sequence.add_metric([applied.service], applied.sequence)
            if applied.took_seconds is not None:
                took.add_metric([applied.service], applied.took_seconds)
            live.add_metric([applied.service], float(applied.is_live))
        return (sequence, took, live)
