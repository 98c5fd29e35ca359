"""How long things are kept. Pure.

Ids are recognised for 7 days at least, so nothing is kept for less. Days are whole days of UTC by which partitions are cut.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from shared.access import Realm

RETENTION_DAYS_MIN = 7


class PolicyRefusedError(ValueError):
    """A policy that cannot be: it keeps for longer than the platform, or for less than ids are recognised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a realm wants. None for days: as long as the platform keeps; None for redaction: never before that."""

    realm: Realm
    retention_days: int | None
    redact_after_days: int | None

    def check(self, *, platform_days: int) -> None:
        """Raise PolicyRefusedError for a policy that cannot be."""
        days = self.retention_days
        if days is not None and not RETENTION_DAYS_MIN <= days <= platform_days:
            raise PolicyRefusedError(f"history is kept for {RETENTION_DAYS_MIN} to {platform_days} days")
        if self.redact_after_days is not None and not 0 <= self.redact_after_days <= (days or platform_days):
            raise PolicyRefusedError("payloads are redacted after 0 days, up to as many as history is kept")


def cutoff(now: datetime, days: int) -> datetime:
    """Return the moment before which things have been kept for long enough."""
    return now - timedelta(days=days)


def is_over(day: date, *, before: datetime) -> bool:
    """Tell whether all of a day lies before a moment, so that its partitions can go."""
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC) <= before
