"""Notes nonces for all processes: those of calls that come at the same moment in one statement."""

from collections.abc import Sequence

from reference_wallet.systems import repository
from reference_wallet.systems.repository import UsedNonce
from shared.database import Database
from shared.grouping import Groups

_BATCH_MAX = 500
_GATHER_SECONDS = 0.004


class UsedNonces:
    """One per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._groups: Groups[UsedNonce, bool] = Groups(
            self._note_all, at_once=1, items_max=_BATCH_MAX, gather_seconds=_GATHER_SECONDS
        )

    async def note(self, used: UsedNonce) -> bool:
        """Note a nonce; False if it was used before. Raises what the database raises."""
        return await self._groups.join([used])

    async def _note_all(self, group: Sequence[Sequence[UsedNonce]]) -> Sequence[bool]:
        first = {(used.system_id, used.nonce): used for (used,) in reversed(group)}
        async with self._database.autocommit() as connection:
            new = await repository.remember_nonces(connection, list(first.values()))
        # Of two that are the same the first is the one that is new.
        return [(key := (used.system_id, used.nonce)) in new and first[key] is used for (used,) in group]
