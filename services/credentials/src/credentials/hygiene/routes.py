"""HTTP of hygiene."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from credentials.api_keys.callers import require_owner
from credentials.api_keys.owner import KeyCaller
from credentials.hygiene import service
from credentials.hygiene.schemas import KeyFindings
from shared.database import Transaction
from shared.pagination import Page, PageQuery
from shared.problems import problem_responses
from shared.request_body import StrictRoute

router = APIRouter(prefix="/v1", tags=["api keys"], route_class=StrictRoute)


@router.get("/hygiene", summary="List keys that want attention", responses=problem_responses())
async def hygiene(
    query: Annotated[PageQuery, Query()],
    caller: Annotated[KeyCaller, require_owner("api_keys:read")],
    session: Transaction,
) -> Page[KeyFindings]:
    """Return keys in force that never expire, were not used for 90 days, or hold scopes they never exercised, newest first.

    Uses show up after a few seconds.
    """
    return await service.page(session, owner=caller.owner, query=query, now=datetime.now(UTC))
