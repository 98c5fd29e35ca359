"""How much a recovery sends at once. Pure.

A recovery moves a batch each second, and what it moves waits in line behind what is due already. So it waits while the
destination has not caught up, and live deliveries wait behind one batch at most.
"""

from datetime import timedelta
from typing import Literal

STEP = timedelta(seconds=1)
WAITING_STEP = timedelta(seconds=5)
"""How soon a recovery looks again at a webhook that gets nothing just now."""
BACKLOG_STEPS = 2


def batch_size(*, rate_per_second: int, webhook_rate_per_second: int | None, due: int) -> int:
    """Return how many deliveries the next second may take back from history.

    ``due`` is what is due or in flight at the webhook now, counted up to ``due_counted``. A webhook with a rate of its own
    keeps half of it for what is new. It is never less than one: a recovery always comes to its end.
    """
    rate = pace(rate_per_second=rate_per_second, webhook_rate_per_second=webhook_rate_per_second)
    return max(1, min(rate, rate * BACKLOG_STEPS - due))


def due_counted(*, rate_per_second: int) -> int:
    """Return up to how many due deliveries need to be counted for ``batch_size``."""
    return rate_per_second * BACKLOG_STEPS


def pace(*, rate_per_second: int, webhook_rate_per_second: int | None) -> int:
    """Return the recovery's own rate at a webhook, in deliveries a second."""
    if webhook_rate_per_second is None:
        return rate_per_second
    return min(rate_per_second, max(1, webhook_rate_per_second // 2))


Verdict = Literal["go", "wait", "end"]


def verdict(*, state: Literal["enabled", "disabled", "open"] | None) -> Verdict:
    """Return what a step does: go on, wait while the webhook gets nothing, or end since it was deleted (None)."""
    if state is None:
        return "end"
    return "go" if state == "enabled" else "wait"
