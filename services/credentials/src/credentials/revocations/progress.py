"""How far each service has applied the feed, among this API process's metrics: its own, and those that follow it."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from credentials.revocations.feed import RevocationFeed
from credentials.revocations.followers import Followers
from shared.access.feed_metrics import Applied, expose

_OWN = "credentials"


def expose_progress(registry: CollectorRegistry, *, feed: RevocationFeed, followers: Followers) -> None:
    """Show one row per service: of several processes, the one that is furthest behind."""

    def read() -> Sequence[Applied]:
        slowest = {_OWN: Applied(_OWN, feed.applied, feed.took_seconds, is_live=feed.is_trusted())}
        for report, _ in followers.all():
            known = slowest.get(report.service)
            if report.service != _OWN and (known is None or report.applied < known.sequence):
                took_seconds = None if report.took_ms is None else report.took_ms / 1000
                slowest[report.service] = Applied(report.service, report.applied, took_seconds, is_live=True)
        return list(slowest.values())

    expose(registry, read)
