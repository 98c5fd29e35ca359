"""When each key was last used: merged in memory, written in one statement every few seconds. Verifying writes nothing."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from credentials.api_keys import last_uses_repository
from credentials.api_keys.last_uses_repository import LastUse
from credentials.merged_writes import MergedWrites
from shared.principals import Address


class LastUses(MergedWrites[tuple[UUID, int], LastUse]):
    """The newest use of each key version, by (key id, version number)."""

    NAME: ClassVar[str] = "api_keys.last_uses"

    def note(self, key_id: UUID, *, version: int, used_at: float, ip: Address | None) -> None:
        """Remember a use; costs no I/O."""
        self._collect((key_id, version), LastUse(used_at=used_at, ip=ip))

    async def _write(self, connection: AsyncConnection, pending: Mapping[tuple[UUID, int], LastUse]) -> None:
        await last_uses_repository.write(connection, pending)
