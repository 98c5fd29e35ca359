"""Reading the audit log: pages, and an export whose memory does not grow with it."""

from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credentials.api_keys.owner import Owner
from credentials.audit import log_repository
from credentials.audit.models import StoredEntry
from credentials.audit.schemas import AuditEntryView, AuditFilters, AuditQuery, view_of
from credentials.audit.service import PLATFORM_CHAIN
from shared.database import Database
from shared.pagination import Page, page_of

EXPORT_BATCH = 500
NUMBER_MAX = 2**63 - 1
"""A cursor beyond is none of this list's, and no number that the database knows."""


def chain_of(owner: Owner) -> UUID:
    """Return the chain that an owner reads: its tenant's, or the platform's own."""
    return owner.tenant_id or PLATFORM_CHAIN


async def page(session: AsyncSession, *, owner: Owner, query: AuditQuery) -> Page[AuditEntryView]:
    """Return one page of the owner's log, newest first. Entries of the other environment are left out."""
    chosen = query.chosen(chain_id=chain_of(owner), environment=owner.environment)
    before = None if query.position is None else min(query.position.int, NUMBER_MAX)
    entries = await log_repository.newest(session, chosen, before=before, limit=query.limit + 1)
    # The place in the chain is the order: ids of two processes can disagree about it by their clocks.
    return page_of(entries, limit=query.limit, position=_place_of, item=view_of)


async def export(database: Database, *, owner: Owner, filters: AuditFilters) -> AsyncIterator[bytes]:
    """Give the owner's log as lines of JSON, oldest first, up to what there was when it began.

    Between two batches no connection is held: a reader may take its time.
    """
    chosen = filters.chosen(chain_id=chain_of(owner), environment=owner.environment)
    after, until = 0, None
    while True:
        async with database.transaction() as session:
            if until is None:
                head = await log_repository.head_of(session, chain_id=chosen.chain_id)
                until = head.number if head else 0
            entries = await log_repository.oldest(session, chosen, after=after, until=until, limit=EXPORT_BATCH)
        if entries:
            after = entries[-1].number
            yield b"".join(view_of(entry).model_dump_json().encode() + b"\n" for entry in entries)
        if len(entries) < EXPORT_BATCH:
            return


def _place_of(entry: StoredEntry) -> UUID:
    return UUID(int=entry.number)
