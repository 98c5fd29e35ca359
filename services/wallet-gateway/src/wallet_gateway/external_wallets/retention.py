"""For how long a wallet must know the ids of transfers: one that forgets an id would do it again. Pure."""

from datetime import timedelta
from typing import Final

MARGIN: Final = timedelta(days=1)
"""A wallet may count its days otherwise than we do, and a call may come late."""


def forgets_too_early(retention: timedelta | None, *, review_after: timedelta) -> bool:
    """Tell whether an id could be forgotten while it is still used: a hold's also for the step that ends it."""
    return retention is not None and retention < 2 * review_after + MARGIN


def resolvable_for(retention: timedelta | None, *, review_after: timedelta) -> timedelta:
    """Return how long after its beginning a step may be asked about: until ``review_after``, and never of a forgotten id."""
    if retention is None:
        return review_after
    return max(timedelta(0), min(review_after, (retention - MARGIN) / 2))
