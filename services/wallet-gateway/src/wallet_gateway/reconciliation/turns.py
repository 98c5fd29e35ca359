"""Whose turn it is: tenants take turns, so that neither slow feeds nor many runs of one hold up the others. In memory."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from uuid import UUID

_REMEMBERED_MAX: Final = 10_000


class Turns:
    """The tenants whose runs one process carries on. Which of a tenant's runs comes next, Postgres says."""

    def __init__(self, *, each_max: int) -> None:
        """``each_max``: so many runs of one tenant are carried on at once."""
        self._each_max = each_max
        self._running: Counter[UUID] = Counter()
        self._served: dict[UUID, None] = {}

    @property
    def busy(self) -> Sequence[UUID]:
        """Return who has as many runs carried on as anybody may."""
        return [tenant for tenant, count in self._running.items() if count >= self._each_max]

    @property
    def served(self) -> Sequence[UUID]:
        """Return whose turn it was, longest ago first; whoever is not among them comes before them."""
        return list(self._served)

    def begin(self, tenant: UUID) -> None:
        """Count a run of a tenant, who is now the last in line."""
        self._running[tenant] += 1
        self._served.pop(tenant, None)
        self._served[tenant] = None
        if len(self._served) > _REMEMBERED_MAX:
            del self._served[next(iter(self._served))]

    @contextmanager
    def ending(self, tenant: UUID) -> Iterator[None]:
        """Count a run that has begun until the block is left."""
        try:
            yield
        finally:
            self._running[tenant] -= 1
            if not self._running[tenant]:
                del self._running[tenant]
