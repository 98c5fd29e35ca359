"""Moving keys to the newest pepper, each at its own next use.

A hash cannot be turned into another without the key itself, and the key is at hand only while it is being verified. The
verification writes nothing: the new hash joins the merged writes, once in a version's life.
"""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from credentials.merged_writes import WrittenOnce
from credentials.peppers import repository
from credentials.peppers.repository import Rehash
from credentials.verification.key_hashing import PepperRing
from shared.database import Database

Place = tuple[UUID, int, str]


class Rehashes(WrittenOnce[Place, Rehash]):
    """New hashes of verified key texts, by (key id, version number, new pepper)."""

    NAME: ClassVar[str] = "peppers.rehashes"

    def __init__(self, database: Database, *, peppers: PepperRing) -> None:
        super().__init__(database)
        self._peppers = peppers

    def note(self, key_id: UUID, *, version: int, pepper_id: str, text: str) -> None:
        """Take note of a verified key text whose hash stands under ``pepper_id``; costs no I/O."""
        current = self._peppers.current_id
        place = (key_id, version, current)
        if pepper_id != current and not self._knows(place):
            self._collect(place, Rehash(hashed=self._peppers.hash(text), replaces=pepper_id))

    async def _write(self, connection: AsyncConnection, pending: Mapping[Place, Rehash]) -> None:
        await repository.rehash(connection, {(key_id, number): new for (key_id, number, _), new in pending.items()})
