"""HTTP of events: publishing and reading."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import Caller, require
from shared.database import Transaction
from shared.idempotency import IdempotencyHeader, answer_once, idempotency_key_of
from shared.pagination import Page, encode_cursor
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute, read_body
from webhook_dispatcher import examples
from webhook_dispatcher.deliveries import repository as deliveries
from webhook_dispatcher.deliveries.routes import shown_delivery
from webhook_dispatcher.event_types.errors import UnknownEventType
from webhook_dispatcher.events import repository, schemas, search_repository
from webhook_dispatcher.events.errors import DataBreaksSchema, InvalidEvent, TooManyDeliveries
from webhook_dispatcher.events.event import BATCH_BYTES_MAX, data_of
from webhook_dispatcher.events.settled import SettledPosition
from webhook_dispatcher.resources import ApiResources, api_resources
from webhook_dispatcher.tracing import parse_traceparent

router = APIRouter(prefix="/v1/events", tags=["events"], route_class=StrictRoute)

Publisher = Annotated[Caller, require("events:publish")]
Reader = Annotated[Caller, require("events:read")]
Resources = Annotated[ApiResources, Depends(api_resources)]
Traceparent = Annotated[
    str | None, Header(description="The trace this belongs to (W3C Trace Context); ignored where malformed.")
]

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        schemas.EventIn.model_json_schema(),
                        {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["events"],
                            "properties": {
                                "events": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 1000,
                                    "items": schemas.EventIn.model_json_schema(),
                                }
                            },
                        },
                    ]
                },
                "examples": {
                    "one": {"value": examples.PUBLISHED_EVENT},
                    "batch": {"value": {"events": [examples.PUBLISHED_EVENT]}},
                },
            }
        },
    }
}


@router.post(
    "",
    status_code=202,
    response_model=schemas.PublishedOut,
    responses=problem_responses(
        *(InvalidEvent, DataBreaksSchema, TooManyDeliveries, UnknownEventType),
        *(IdempotencyInProgress, IdempotencyMismatch),
    ),
    openapi_extra=_BODY,
    summary="Publish one event or a batch",
)
async def publish_events(
    request: Request,
    caller: Publisher,
    resources: Resources,
    idempotency_key: IdempotencyHeader = None,
    traceparent: Traceparent = None,
) -> Response:
    """Answer after the commit: an accepted event and the deliveries it owes are durable.

    An event's `id` is its idempotency key. One bad event refuses the whole body, and nothing of it is accepted.
    """
    async with resources.publish_budget.share(caller.realm) as share:
        body = await read_body(request, bytes_max=BATCH_BYTES_MAX, before_keeping=share.grow)
        key = idempotency_key_of(request, idempotency_key, body)
        if key is None:
            return _json((await _publish(body, caller, resources, traceparent=traceparent)).model_dump(), 202)
        async with resources.database.transaction() as session:
            # The answer shows counts and ids, and nothing of an event: whoever sends the same body again may have it again.
            publish = partial(_publish, body, caller, resources, session=session, traceparent=traceparent)
            return await answer_once(session, realm=caller.realm, key=key, create=publish, status=202)


@router.get("", response_model=Page[schemas.EventOut], responses=problem_responses(), summary="List events")
async def list_events(
    caller: Reader, session: Transaction, query: Annotated[schemas.EventListQuery, Query()]
) -> Response:
    """Newest first; with `after`, oldest first from that cursor: follow `next_cursor` to read all since then.

    Each page looks at a few thousand events: one with filters may hold fewer than `limit`, or none, and still name a next.

    With `after`, an event appears once no write that began before its own still runs, usually at once: so what is committed
    late never appears behind a cursor.
    """
    return _json(await (_newest(session, caller, query) if query.after is None else _settled(session, caller, query)))


@router.get(
    "/{event_id}",
    response_model=schemas.EventWithDeliveriesOut,
    responses=problem_responses(NotFound),
    summary="Show an event with its deliveries",
)
async def get_event(event_id: str, caller: Reader, session: Transaction) -> Response:
    event = await repository.find(session, realm=caller.realm, event_id=event_id)
    if event is None:
        raise NotFound
    owed = await deliveries.find_of_event(session, realm=caller.realm, event=event.id)
    return _json({**_shown(event), "deliveries": [shown_delivery(item).model_dump(mode="json") for item in owed]})


async def _publish(
    body: bytes,
    caller: Caller,
    resources: ApiResources,
    *,
    traceparent: str | None,
    session: AsyncSession | None = None,
) -> schemas.PublishedOut:
    """Publish by itself, or, where the answer is kept for an Idempotency-Key, in the same transaction as the answer."""
    published = await resources.acceptance.publish(
        body,
        realm=caller.realm,
        now=datetime.now(UTC),
        session=session,
        traceparent=parse_traceparent(traceparent),
    )
    acceptance = published.acceptance
    if session is None:
        resources.wake_ups.publish_soon(acceptance.webhooks)
    else:
        resources.wake_after_commit(session, acceptance.webhooks)
    return schemas.PublishedOut(accepted=acceptance.accepted, duplicates=acceptance.duplicates, ids=published.ids)


def _filters(query: schemas.EventListQuery) -> Mapping[str, Any]:
    return {
        "type": query.type,
        "subject": query.subject,
        "from": query.from_,
        "to": query.to,
        "q": query.q,
    }


async def _newest(session: AsyncSession, caller: Caller, query: schemas.EventListQuery) -> Mapping[str, Any]:
    filters = dict(_filters(query))
    if query.q is not None:
        event = await repository.find_row_id(session, realm=caller.realm, event_id=query.q)
        filters |= {"q": None, "event": event} if event else {}
    found = await search_repository.find_page(
        session, realm=caller.realm, filters=filters, before=query.position, limit=query.limit + 1
    )
    shown = found.events[: query.limit]
    reach = found.reach.id if found.reach else None
    if len(found.events) > len(shown):
        reach = shown[-1].id
    return {"data": [_shown(row) for row in shown], "next_cursor": encode_cursor(reach) if reach else None}


async def _settled(session: AsyncSession, caller: Caller, query: schemas.EventListQuery) -> Mapping[str, Any]:
    """Give a cursor with the last page too: reading onward never ends, and there the next events will appear."""
    after = SettledPosition.from_cursor(query.after or "")
    found = await search_repository.find_settled(
        session, realm=caller.realm, filters=_filters(query), after=after, limit=query.limit
    )
    rows = found.events
    last = SettledPosition(transaction=rows[-1].transaction, id=rows[-1].id) if rows else None
    if len(rows) < query.limit and found.reach is not None:
        last = found.reach
    return {"data": [_shown(row) for row in rows], "next_cursor": last.cursor() if last else (query.after or None)}


def _shown(event: repository.StoredEvent) -> dict[str, Any]:
    """Return the wire form with `data` as the publisher's own bytes: a number such as 1e400 fits no float."""
    shown = schemas.EventOut(
        id=event.event_id,
        type=event.type,
        subject=event.subject,
        occurred_at=event.occurred_at,
        environment=event.environment,
        test=event.test,
        matched=event.matched,
        data={},
        body=event.payload.decode(),
        redacted_at=event.redacted_at,
    ).model_dump(mode="json")
    return {**shown, "data": orjson.Fragment(data_of(event.payload, test=event.test))}


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
