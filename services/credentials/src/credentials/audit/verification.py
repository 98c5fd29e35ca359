"""Walking a chain: whether every entry is there, in its place, and as it was written."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit import log_repository
from credentials.audit.chain import FIRST_PREVIOUS_HASH, entry_hash
from credentials.audit.models import StoredEntry
from credentials.audit.repository import ChainHead
from shared import typeids
from shared.database import Database

_BATCH = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found in a chain up to its head: the head, and where and how it breaks first, if it does."""

    chain_id: UUID
    head: ChainHead
    broken_at: int | None = None
    fault: str | None = None


async def check_all(database: Database) -> AsyncIterator[Checked]:
    """Check every chain, one after another."""
    async with database.transaction() as session:
        chain_ids = await log_repository.chain_ids(session)
    for chain_id in chain_ids:
        yield await check(database, chain_id=chain_id)


async def check(database: Database, *, chain_id: UUID) -> Checked:
    """Walk one chain from its first entry to its head, in batches; it may grow meanwhile.

    What a chain alone cannot show: that its last entries were removed and its head set back to fit. Keep the printed heads
    elsewhere, and compare.
    """
    async with database.transaction() as session:
        head, last_number = await log_repository.ends_of(session, chain_id=chain_id)
    if head is None:
        because = "the chain has entries and no head" if last_number else "there is no such log"
        return Checked(chain_id=chain_id, head=_EMPTY, broken_at=1, fault=because)
    last, fault = _EMPTY, None
    while last.number < head.number:
        async with database.transaction() as session:
            last, fault = await _walk(session, chain_id=chain_id, last=last, until=head.number)
        if fault is not None:
            return Checked(chain_id=chain_id, head=head, broken_at=last.number + 1, fault=fault)
    if last.hash != head.hash:
        return Checked(
            chain_id=chain_id, head=head, broken_at=last.number, fault="the head is not the last entry's hash"
        )
    if last_number > head.number:
        fault = f"the head is entry {head.number}, and there are entries up to {last_number}"
        return Checked(chain_id=chain_id, head=head, broken_at=head.number + 1, fault=fault)
    return Checked(chain_id=chain_id, head=head)


async def _walk(session: AsyncSession, *, chain_id: UUID, last: ChainHead, until: int) -> tuple[ChainHead, str | None]:
    """Walk one batch; return the last good entry's place, and the fault of the one after it."""
    entries = await log_repository.run_of(session, chain_id=chain_id, after=last.number, until=until, limit=_BATCH)
    if not entries:
        return last, f"entry {last.number + 1} is missing, and all after it"
    for entry in entries:
        fault = _fault_of(entry, last)
        if fault is not None:
            return last, fault
        last = ChainHead(number=entry.number, hash=entry.hash)
    return last, None


def _fault_of(entry: StoredEntry, last: ChainHead) -> str | None:
    name = typeids.encode("aud", entry.id)
    if entry.number != last.number + 1:
        return f"entry {last.number + 1} is missing; the next one is {entry.number} ({name})"
    if entry.previous_hash != last.hash:
        return f"entry {entry.number} ({name}) does not follow the entry before it"
    if entry.hash != entry_hash(entry.hashed(), previous_hash=last.hash):
        return f"entry {entry.number} ({name}) was altered"
    return None


_EMPTY = ChainHead(number=0, hash=FIRST_PREVIOUS_HASH)
