"""HTTP of the audit log."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from credentials.api_keys.callers import require_owner
from credentials.api_keys.owner import KeyCaller
from credentials.audit import log
from credentials.audit.schemas import AuditEntryView, AuditFilters, AuditQuery
from shared.database import Transaction
from shared.pagination import Page
from shared.problems import problem_responses
from shared.request_body import StrictRoute

NDJSON = "application/x-ndjson"
router = APIRouter(prefix="/v1/audit-log", tags=["audit log"], route_class=StrictRoute)


@router.get("", summary="Read the audit log", responses=problem_responses())
async def list_entries(
    request: Request,
    query: Annotated[AuditQuery, Query()],
    caller: Annotated[KeyCaller, require_owner("audit:read", within_realm=True)],
    session: Transaction,
) -> Page[AuditEntryView]:
    """Return what was done in the caller's tenant and environment, and what was denied and exactly why, newest first.

    Denials of a credential for one reason are merged: `changes.count` says how many there were from `changes.first_at` to
    `changes.last_at`. A platform credential that names no tenant reads the platform's own log.
    """
    await request.app.state.resources.denials.flush(chain_id=log.chain_of(caller.owner))
    return await log.page(session, owner=caller.owner, query=query)


@router.get(
    "/export",
    summary="Export the audit log",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One entry a line, oldest first. A connection that breaks off means that the export is incomplete.",
            "content": {NDJSON: {"schema": {"$ref": "#/components/schemas/AuditEntryView"}}},
        },
        **problem_responses(),
    },
)
async def export(
    request: Request,
    filters: Annotated[AuditFilters, Query()],
    caller: Annotated[KeyCaller, require_owner("audit:read", within_realm=True)],
) -> StreamingResponse:
    """Return every entry that the filters choose, in the order of the chain."""
    resources = request.app.state.resources
    await resources.denials.flush(chain_id=log.chain_of(caller.owner))
    lines = log.export(resources.database, owner=caller.owner, filters=filters)
    headers = {"Content-Disposition": 'attachment; filename="audit-log.ndjson"', "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type=NDJSON, headers=headers)
