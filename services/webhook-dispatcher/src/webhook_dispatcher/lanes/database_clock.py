"""The database's time, as a worker knows it between two looks: so that workers whose clocks differ write one time."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class DatabaseClock:
    """Set at each look, and counted on by the monotonic clock, which no correction of the system's clock moves."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._known: tuple[datetime, float] | None = None

    def set(self, at: datetime) -> None:
        """Take over what the database said just now."""
        self._known = (at, self._monotonic())

    def now(self) -> datetime:
        """Return the time; before the first look, when there is nothing to be judged yet, it is this machine's."""
        if self._known is None:
            return datetime.now(UTC)
        at, set_at = self._known
        return at + timedelta(seconds=self._monotonic() - set_at)
