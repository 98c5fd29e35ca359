"""Snapshots of balances in memory, bounded by what they hold. For showing only: no transfer is authorised from one."""

from collections import OrderedDict
from typing import Final

from wallet_gateway.balances.balance import BalanceKey, Snapshot

ROWS_MAX: Final = 50_000
"""Balances of all snapshots together, an empty snapshot counting as one."""


class BalanceCache:
    """Keeps the newest snapshot of each key; those unused for longest are forgotten first."""

    def __init__(self, *, rows_max: int = ROWS_MAX) -> None:
        self._rows_max = rows_max
        self._rows = 0
        self._snapshots: OrderedDict[BalanceKey, Snapshot] = OrderedDict()

    def get(self, key: BalanceKey) -> Snapshot | None:
        """Return the snapshot of a key, of whatever age."""
        snapshot = self._snapshots.get(key)
        if snapshot is not None:
            self._snapshots.move_to_end(key)
        return snapshot

    def put(self, key: BalanceKey, snapshot: Snapshot) -> None:
        """Keep a snapshot instead of the one before."""
        self.drop(key)
        self._snapshots[key] = snapshot
        self._rows += _size(snapshot)
        while self._rows > self._rows_max:
            _, forgotten = self._snapshots.popitem(last=False)
            self._rows -= _size(forgotten)

    def drop(self, key: BalanceKey) -> None:
        """Forget the snapshot of a key."""
        snapshot = self._snapshots.pop(key, None)
        if snapshot is not None:
            self._rows -= _size(snapshot)

    def __len__(self) -> int:
        return len(self._snapshots)


def _size(snapshot: Snapshot) -> int:
    return max(1, len(snapshot.balances))
