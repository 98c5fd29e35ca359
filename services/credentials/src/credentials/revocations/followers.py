"""How far each process that follows the feed has come: what it reported with its last poll of this API process."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FOLLOWERS_MAX = 1_000
SEEN_WITHIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One process of a service. ``took_ms``: the newest revocation, from its transaction until it was applied there."""

    service: str
    instance: str
    applied: int
    took_ms: float | None
    seen_at: float


class Followers:
    """Bounded, and forgets who has not asked for ``SEEN_WITHIN_SECONDS``."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reports: OrderedDict[tuple[str, str], Progress] = OrderedDict()

    def report(self, *, service: str, instance: str, applied: int, took_ms: float | None) -> None:
        """Take a report in place of the process's last one."""
        self._reports[service, instance] = Progress(
            service=service, instance=instance, applied=applied, took_ms=took_ms, seen_at=self._clock()
        )
        self._reports.move_to_end((service, instance))
        if len(self._reports) > FOLLOWERS_MAX:
            self._reports.popitem(last=False)

    def all(self) -> Sequence[tuple[Progress, float]]:
        """Return each process's last report and how many seconds ago it came, by service and instance."""
        now = self._clock()
        while self._reports and now - next(iter(self._reports.values())).seen_at > SEEN_WITHIN_SECONDS:
            self._reports.popitem(last=False)
        return [(report, now - report.seen_at) for _, report in sorted(self._reports.items())]
