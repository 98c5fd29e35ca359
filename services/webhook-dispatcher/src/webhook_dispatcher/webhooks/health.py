"""How a webhook's destination does, in one word. Pure.

The columns behind it are written by the worker that owns the webhook's lane (``lanes/health.py``).
"""

from datetime import datetime
from typing import Literal

Health = Literal["healthy", "failing", "open", "disabled"]


def health_of(
    *, status: Literal["enabled", "disabled"], breaker_opened_at: datetime | None, failing_since: datetime | None
) -> Health:
    """Return the health of a webhook from its row.

    ``failing``: attempts have failed for a while without a success. ``open``: so many in a row that deliveries are held and one
    at a time is tried as a probe. ``disabled``: by request, for 410 Gone, or after days of failing.
    """
    if status == "disabled":
        return "disabled"
    if breaker_opened_at is not None:
        return "open"
    return "healthy" if failing_since is None else "failing"
