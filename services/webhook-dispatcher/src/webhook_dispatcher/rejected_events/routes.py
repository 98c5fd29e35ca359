"""HTTP of rejected events."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import Caller, PlatformCaller, Realm, require, require_realm_or_platform
from shared.database import Transaction
from shared.idempotency import IdempotencyHeader, answer_once, idempotency_key_of
from shared.pagination import Page, page_of
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute, read_body
from webhook_dispatcher.event_types.errors import UnknownEventType
from webhook_dispatcher.events.errors import DataBreaksSchema, InvalidEvent, TooManyDeliveries
from webhook_dispatcher.events.event import EVENT_BYTES_MAX
from webhook_dispatcher.events.schemas import EventIn, PublishedOut
from webhook_dispatcher.rejected_events import repository, schemas, service
from webhook_dispatcher.rejected_events.errors import RejectedEventIncomplete, RejectedEventReplayed
from webhook_dispatcher.rejected_events.repository import RejectedEvent
from webhook_dispatcher.resources import ApiResources, api_resources

router = APIRouter(prefix="/v1/rejected-events", tags=["rejected events"], route_class=StrictRoute)

Reader = Annotated[Caller | PlatformCaller, require_realm_or_platform("events:read")]
Publisher = Annotated[Caller, require("events:publish")]
Resources = Annotated[ApiResources, Depends(api_resources)]

_CORRECTED: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "description": "The corrected event, in the form of `POST /v1/events`; none to replay it as it was.",
        "content": {"application/json": {"schema": EventIn.model_json_schema()}},
    }
}


@router.get("", responses=problem_responses(), summary="List rejected events")
async def list_rejected_events(
    caller: Reader, session: Transaction, query: Annotated[schemas.RejectedEventListQuery, Query()]
) -> Page[schemas.RejectedEventOut]:
    """Show what a queue brought and could not be accepted, newest first.

    Entries of which no tenant can be read are listed for a platform credential that names no tenant.
    """
    rows = await repository.find_page(session, place=_place(caller), filters=_filters(query), limit=query.limit + 1)
    return page_of(rows, limit=query.limit, position=lambda row: row.id, item=_shown)


@router.get("/{rejected_id}", responses=problem_responses(NotFound), summary="Show a rejected event with its body")
async def get_rejected_event(
    rejected_id: schemas.RejectedIdInPath, caller: Reader, session: Transaction
) -> schemas.RejectedEventWithBodyOut:
    found = await repository.find(session, rejected_id=rejected_id, places=[_place(caller)])
    if found is None:
        raise NotFound
    rejected, body = found
    return schemas.RejectedEventWithBodyOut(**_shown(rejected).model_dump(), body=body.decode("utf-8", "replace"))


@router.post(
    "/{rejected_id}/replay",
    status_code=202,
    response_model=PublishedOut,
    responses=problem_responses(
        *(NotFound, RejectedEventReplayed, RejectedEventIncomplete, InvalidEvent, DataBreaksSchema),
        *(UnknownEventType, TooManyDeliveries),
        *(IdempotencyInProgress, IdempotencyMismatch),
    ),
    openapi_extra=_CORRECTED,
    summary="Replay a rejected event",
)
async def replay_rejected_event(
    request: Request,
    rejected_id: schemas.RejectedIdInPath,
    caller: Publisher,
    session: Transaction,
    resources: Resources,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """As it was, after the fault was ours or its type exists now; or corrected. It is accepted once, under its own id."""
    async with resources.publish_budget.share(caller.realm) as share:
        body = await read_body(request, bytes_max=EVENT_BYTES_MAX, before_keeping=share.grow)
        key = idempotency_key_of(request, idempotency_key, body)

        async def create() -> PublishedOut:
            return await _replay(session, caller, resources, rejected_id, body)

        return await answer_once(
            session, realm=caller.realm, key=key, create=create, status=202, seen_with="events:read"
        )


async def _replay(
    session: AsyncSession,
    caller: Caller,
    resources: ApiResources,
    rejected_id: schemas.RejectedIdInPath,
    body: bytes,
) -> PublishedOut:
    corrected = None if body.strip() in (b"", b"{}") else body
    published = await service.replay(
        session, caller, resources.acceptance, rejected_id, corrected=corrected, now=datetime.now(UTC)
    )
    acceptance = published.acceptance
    resources.wake_after_commit(session, acceptance.webhooks)
    return PublishedOut(accepted=acceptance.accepted, duplicates=acceptance.duplicates, ids=published.ids)


def _place(caller: Caller | PlatformCaller) -> Realm | None:
    return caller.realm if isinstance(caller, Caller) else None


def _filters(query: schemas.RejectedEventListQuery) -> Mapping[str, Any]:
    return {
        "reason": query.reason,
        "type": query.type,
        "from": query.from_,
        "to": query.to,
        "replayed": query.replayed,
        "before": query.position,
    }


def _shown(rejected: RejectedEvent) -> schemas.RejectedEventOut:
    same = schemas.RejectedEventOut.model_fields.keys() - {"event_type"}
    return schemas.RejectedEventOut(**{name: getattr(rejected, name) for name in same}, event_type=rejected.type)
