"""When each key and each text of a security token was last used. Verifying writes nothing.

Merged in memory, written in one statement for each kind every few seconds.
"""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from credentials import last_uses_repository
from credentials.last_uses_repository import LastUse, LastUseTable
from credentials.merged_writes import MergedWrites
from shared.principals import Address


class _Uses(MergedWrites[tuple[UUID, int], LastUse]):
    """The newest use of each version, by (id of the key or token, version number)."""

    TABLE: ClassVar[LastUseTable]

    def note(self, owner_id: UUID, *, version: int, used_at: float, ip: Address | None) -> None:
        """Remember a use; costs no I/O."""
        self._collect((owner_id, version), LastUse(used_at=used_at, ip=ip))

    async def _write(self, connection: AsyncConnection, pending: Mapping[tuple[UUID, int], LastUse]) -> None:
        await last_uses_repository.write(connection, self.TABLE, pending)


class LastUses(_Uses):
    """Of API keys."""

    NAME: ClassVar[str] = "api_keys.last_uses"
    TABLE = last_uses_repository.API_KEYS


class SecurityTokenUses(_Uses):
    """Of security tokens."""

    NAME: ClassVar[str] = "security_tokens.last_uses"
    TABLE = last_uses_repository.SECURITY_TOKENS
