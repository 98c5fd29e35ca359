"""How far a run has got: why it cannot go on, and what it has compared."""

from dataclasses import dataclass
from datetime import datetime

from shared import typeids
from wallet_gateway.reconciliation.comparison import OurOrder


class Waits(Exception):  # noqa: N818 - a named fact
    """The run cannot go on now; ``code`` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Compared:
    """How many orders were compared, and since when there are some that had not ended in time."""

    count: int = 0
    late_since: datetime | None = None

    def takes(self, order: OurOrder, *, read_at: datetime) -> bool:
        """Tell whether an order can be compared, and keep count."""
        if not order.is_certain:
            return False
        if order.ended_at >= read_at:
            begun_at = typeids.created_at(order.transfer_id)
            self.late_since = begun_at if self.late_since is None else min(begun_at, self.late_since)
            return False
        self.count += 1
        return True
