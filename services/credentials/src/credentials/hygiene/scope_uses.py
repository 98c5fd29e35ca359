"""Which of its scopes each key has ever exercised: noted in memory, written once per key and scope."""

from collections.abc import Collection, Mapping
from typing import ClassVar

from sqlalchemy.ext.asyncio import AsyncConnection

from credentials.hygiene import scope_uses_repository
from credentials.merged_writes import WrittenOnce

_API_KEY = "key_"


class ScopeUses(WrittenOnce[tuple[str, str], None]):
    """The exercised scopes, by (id of the key as text, scope)."""

    NAME: ClassVar[str] = "hygiene.scope_uses"

    def note(self, credential_id: str, scopes: Collection[str]) -> None:
        """Remember that a key used scopes it holds; costs no I/O. Credentials of other kinds are passed over."""
        if not credential_id.startswith(_API_KEY):
            return
        for scope in scopes:
            place = (credential_id, scope)
            if not self._knows(place):
                self._collect(place, None)

    async def _write(self, connection: AsyncConnection, pending: Mapping[tuple[str, str], None]) -> None:
        await scope_uses_repository.write(connection, pending.keys())
