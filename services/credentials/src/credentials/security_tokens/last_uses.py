"""When each text of a token was last used: merged in memory, written in one statement every few seconds."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from credentials.api_keys.last_uses_repository import LastUse
from credentials.merged_writes import MergedWrites
from credentials.security_tokens import last_uses_repository
from shared.access import Address


class SecurityTokenUses(MergedWrites[tuple[UUID, int], LastUse]):
    """The newest use of each version, by (token id, version number)."""

    NAME: ClassVar[str] = "security_tokens.last_uses"

    def note(self, token_id: UUID, *, version: int, used_at: float, ip: Address | None) -> None:
        """Remember a use; costs no I/O."""
        self._collect((token_id, version), LastUse(used_at=used_at, ip=ip))

    async def _write(self, connection: AsyncConnection, pending: Mapping[tuple[UUID, int], LastUse]) -> None:
        await last_uses_repository.write(connection, pending)
