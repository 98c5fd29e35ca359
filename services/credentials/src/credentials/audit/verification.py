"""Walking a chain: whether every entry is there, in its place, as it was written, and written by this service.

The last is what an entry's proof says. Where the keys say nothing of an entry, because it is from before there were proofs or
its key is configured no more, a later proven entry ``audit_log.vouched`` speaks for all before it: it is written by command
alone, after a walk that found them whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit import log_repository
from credentials.audit.chain import FIRST_PREVIOUS_HASH, entry_hash
from credentials.audit.models import StoredEntry
from credentials.audit.proof import AuditKeys, keys_of
from credentials.audit.repository import ChainHead, lock_head
from credentials.audit.service import PLATFORM_CHAIN, Actor, Target, record
from shared import typeids
from shared.database import Database

VOUCHED = "audit_log.vouched"
_ACTOR = Actor(kind="command", id="verify-audit")
_BATCH = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found in a chain up to its head: the head, and where and how it breaks first, if it does."""

    chain_id: UUID
    head: ChainHead
    broken_at: int | None = None
    fault: str | None = None
    unvouched_from: int | None = None
    """The first entry that the newest key does not prove and nobody vouched for; None if there is none."""
    is_vouchable: bool = False
    """Whether the chain is whole but for entries that nothing proves."""


async def all_chains(database: Database) -> Sequence[UUID]:
    """Return the id of every chain."""
    async with database.transaction() as session:
        return await log_repository.chain_ids(session)


async def check(database: Database, *, chain_id: UUID) -> Checked:
    """Walk one chain from its first entry to its head, in batches; it may grow meanwhile.

    What a chain alone cannot show: that its last entries were removed and its head set back to fit. Keep the printed heads
    elsewhere, and compare.
    """
    return (await _walked(database, chain_id=chain_id))[0]


async def vouch(database: Database, *, chain_id: UUID) -> Checked:
    """Check a chain and, if it is whole but for entries that the newest key does not prove, record that it speaks for them."""
    checked, walk = await _walked(database, chain_id=chain_id)
    if not checked.is_vouchable or checked.unvouched_from is None:
        return checked
    async with database.transaction() as session:
        head = await lock_head(session, chain_id=chain_id)
        await walk.go_on(session, until=head)
        if not walk.found(head).is_vouchable:
            return walk.found(head)
        platform = chain_id == PLATFORM_CHAIN
        target = Target(
            kind="audit_log",
            id="platform" if platform else typeids.encode("ten", chain_id),
            tenant_id=None if platform else chain_id,
        )
        changes = {"from": checked.unvouched_from, "through": head.number}
        await record(session, action=VOUCHED, actor=_ACTOR, target=target, changes=changes)
    return await check(database, chain_id=chain_id)


async def _walked(database: Database, *, chain_id: UUID) -> tuple[Checked, "_Walk"]:
    async with database.transaction() as session:
        head, last_number = await log_repository.ends_of(session, chain_id=chain_id)
        walk = _Walk(chain_id, keys_of(session))
    if head is None:
        because = "the chain has entries and no head" if last_number else "there is no such log"
        return Checked(chain_id=chain_id, head=_EMPTY, broken_at=1, fault=because), walk
    while walk.last.number < head.number and walk.fault is None:
        async with database.transaction() as session:
            await walk.one_batch(session, until=head.number)
    checked = walk.found(head)
    if checked.is_vouchable and last_number > head.number:
        fault = f"the head is entry {head.number}, and there are entries up to {last_number}"
        return Checked(chain_id=chain_id, head=head, broken_at=head.number + 1, fault=fault), walk
    return checked, walk


class _Walk:
    """How far a chain was walked, and what was found so far."""

    def __init__(self, chain_id: UUID, keys: AuditKeys) -> None:
        self._chain_id = chain_id
        self._keys = keys
        self.last = _EMPTY
        self.fault: str | None = None
        self._unproved_from: int | None = None
        self._unproved_until = 0
        self._older_from: int | None = None

    async def go_on(self, session: AsyncSession, *, until: ChainHead) -> None:
        """Walk to a head, or to the first fault."""
        while self.last.number < until.number and self.fault is None:
            await self.one_batch(session, until=until.number)

    async def one_batch(self, session: AsyncSession, *, until: int) -> None:
        """Walk on by one batch, or to the first fault."""
        after = self.last.number
        entries = await log_repository.run_of(session, chain_id=self._chain_id, after=after, until=until, limit=_BATCH)
        if not entries:
            self.fault = f"entry {after + 1} is missing, and all after it"
        for entry in entries:
            self.fault = self._fault_of(entry)
            if self.fault is not None:
                return
            self.last = ChainHead(number=entry.number, hash=entry.hash)

    def found(self, head: ChainHead) -> Checked:
        """Return what the walk found, which went to this head unless a fault ended it."""
        if self.fault is not None:
            return Checked(chain_id=self._chain_id, head=head, broken_at=self.last.number + 1, fault=self.fault)
        if self.last.hash != head.hash:
            fault = "the head is not the last entry's hash"
            return Checked(chain_id=self._chain_id, head=head, broken_at=self.last.number, fault=fault)
        unproved = None
        if self._unproved_from is not None:
            unproved = (
                f"nothing proves that entries {self._unproved_from} to {self._unproved_until} were written by this service:"
                " they are from before there were proofs, their key is configured no more, or somebody else wrote them"
            )
        return Checked(
            chain_id=self._chain_id,
            head=head,
            broken_at=self._unproved_from,
            fault=unproved,
            unvouched_from=self._older_from,
            is_vouchable=True,
        )

    def _fault_of(self, entry: StoredEntry) -> str | None:
        name = typeids.encode("aud", entry.id)
        if entry.number != self.last.number + 1:
            return f"entry {self.last.number + 1} is missing; the next one is {entry.number} ({name})"
        if entry.previous_hash != self.last.hash:
            return f"entry {entry.number} ({name}) does not follow the entry before it"
        if entry.hash != entry_hash(entry.hashed(), previous_hash=self.last.hash):
            return f"entry {entry.number} ({name}) was altered"
        proven = self._keys.proves(entry.proven, entry.hash)
        if proven is False:
            return f"entry {entry.number} ({name}) was not written by this service"
        self._note(entry, is_proven=proven is True)
        return None

    def _note(self, entry: StoredEntry, *, is_proven: bool) -> None:
        if is_proven and entry.action == VOUCHED:
            self._unproved_from = self._older_from = None
        if not is_proven:
            self._unproved_from = self._unproved_from or entry.number
            self._unproved_until = entry.number
        if entry.proof_key_id != self._keys.newest_id:
            self._older_from = self._older_from or entry.number


_EMPTY = ChainHead(number=0, hash=FIRST_PREVIOUS_HASH)
