"""The wallet's own idea of the time, which a fault can put wrong."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(slots=True)
class WalletClock:
    """Call it for the time; ``skew_seconds`` is by how much it is wrong."""

    skew_seconds: float = 0.0

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.skew_seconds)
