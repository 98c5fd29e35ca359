"""What an owner should look at: keys that never expire, that nobody uses, or that may do what they never did."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from credentials.api_keys import repository as api_keys
from credentials.api_keys.models import ApiKey
from credentials.api_keys.owner import Owner
from credentials.api_keys.schemas import view_of
from credentials.hygiene import repository
from credentials.hygiene.repository import Finding
from credentials.hygiene.schemas import FindingName, KeyFindings
from shared.pagination import Page, PageQuery, page_of

UNUSED_DAYS = 90


async def page(session: AsyncSession, *, owner: Owner, query: PageQuery, now: datetime) -> Page[KeyFindings]:
    """Return one page of the owner's keys that have a finding."""
    findings = await repository.page(
        session,
        owner=owner,
        position=query.position,
        limit=query.limit + 1,
        now=now,
        unused_since=now - timedelta(days=UNUSED_DAYS),
    )
    keys = await api_keys.find_all(session, owner=owner, key_ids=[finding.key_id for finding in findings])
    by_id = {key.id: key for key in keys}
    # A key that was deleted between the two queries is left out.
    shown = [finding for finding in findings if finding.key_id in by_id]
    return page_of(
        shown,
        limit=query.limit,
        position=lambda finding: finding.key_id,
        item=lambda finding: _view(by_id[finding.key_id], finding, now=now),
    )


def _view(key: ApiKey, finding: Finding, *, now: datetime) -> KeyFindings:
    names: list[FindingName] = []
    if finding.never_expires:
        names.append("never_expires")
    if finding.unused:
        names.append("unused")
    if finding.scopes_never_exercised:
        names.append("scopes_never_exercised")
    return KeyFindings(
        **view_of(key, now=now).model_dump(), findings=names, scopes_never_exercised=[*finding.scopes_never_exercised]
    )
