"""Notes nonces for all processes: those of calls that come at the same moment in one statement."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from reference_wallet.systems import repository
from reference_wallet.systems.repository import UsedNonce
from shared.database import Database

_BATCH_MAX = 500
_GATHER_SECONDS = 0.004


@dataclass(slots=True)
class UsedNonces:
    """One per process. While one statement runs the next batch collects."""

    database: Database
    _waiting: dict[tuple[UUID, str], tuple[UsedNonce, "asyncio.Future[bool]"]] = field(default_factory=dict)
    _writing: "asyncio.Task[None] | None" = None

    async def note(self, used: UsedNonce) -> bool:
        """Note a nonce; False if it was used before. Raises what the database raises."""
        key = (used.system_id, used.nonce)
        if key in self._waiting:
            return False
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[key] = (used, done)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(), name="used nonces")
        return await done

    async def _write_all(self) -> None:
        while self._waiting:
            keys = list(self._waiting)[:_BATCH_MAX]
            await self._write([self._waiting.pop(key) for key in keys])
            if self._waiting:
                await asyncio.sleep(_GATHER_SECONDS)
        self._writing = None

    async def _write(self, batch: list[tuple[UsedNonce, "asyncio.Future[bool]"]]) -> None:
        try:
            async with self.database.autocommit() as connection:
                new = await repository.remember_nonces(connection, [used for used, _ in batch])
        except Exception as exc:  # noqa: BLE001 - each caller is told
            for _, done in batch:
                if not done.done():
                    done.set_exception(exc)
            return
        for used, done in batch:
            if not done.done():
                done.set_result((used.system_id, used.nonce) in new)
