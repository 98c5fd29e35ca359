"""``/v1/event-types``: what can be published and subscribed to."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from shared.access import Caller, require
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.pagination import Page, PageQuery
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute
from webhook_dispatcher.event_types import service
from webhook_dispatcher.event_types.errors import (
    EventTypeExists,
    EventTypeInUse,
    EventTypeLimitReached,
    EventTypeReserved,
    ExampleBreaksSchema,
    SchemaRefused,
)
from webhook_dispatcher.event_types.schemas import EventTypeIn, EventTypeOut, EventTypePatch

router = APIRouter(prefix="/v1/event-types", tags=["event types"], route_class=StrictRoute)

Reader = Annotated[Caller, require("webhooks:read")]
Writer = Annotated[Caller, require("webhooks:write")]
NameInPath = Annotated[str, Path(max_length=128)]


@router.get("", summary="List event types", responses=problem_responses())
async def list_event_types(
    query: Annotated[PageQuery, Query()], caller: Reader, session: Transaction
) -> Page[EventTypeOut]:
    """List own types, newest first, then the built-in ones by function, each with JSON Schema and example of its `data`."""
    page = await service.page(session, caller.realm, query)
    return Page(data=[EventTypeOut.of(event_type) for event_type in page.data], next_cursor=page.next_cursor)


@router.post(
    "",
    status_code=201,
    response_model=EventTypeOut,
    summary="Define an event type",
    responses=problem_responses(
        *(EventTypeReserved, EventTypeExists, EventTypeLimitReached, SchemaRefused, ExampleBreaksSchema),
        *(IdempotencyInProgress, IdempotencyMismatch),
    ),
)
async def create_event_type(
    body: EventTypeIn, caller: Writer, session: Transaction, idempotency_key: OptionalIdempotencyKey
) -> Response:
    """From then on it can be published and selected in this environment; what breaks its schema is refused."""

    async def create() -> EventTypeOut:
        return EventTypeOut.of(await service.create(session, caller, body))

    return await answer_once(session, realm=caller.realm, key=idempotency_key, create=create, seen_with="webhooks:read")


@router.get("/{name}", summary="Get an event type", responses=problem_responses(NotFound))
async def get_event_type(name: NameInPath, caller: Reader, session: Transaction) -> EventTypeOut:
    """Return one event type with its JSON Schema and example."""
    return EventTypeOut.of(await service.get(session, caller.realm, name))


@router.patch(
    "/{name}",
    summary="Change an own event type",
    responses=problem_responses(NotFound, EventTypeReserved, SchemaRefused, ExampleBreaksSchema),
)
async def change_event_type(
    name: NameInPath, body: EventTypePatch, caller: Writer, session: Transaction
) -> EventTypeOut:
    """Events that were accepted stay as they are; from now on the new schema holds. The name is fixed."""
    return EventTypeOut.of(await service.change(session, caller, name, body))


@router.delete(
    "/{name}",
    status_code=204,
    summary="Remove an own event type",
    responses=problem_responses(NotFound, EventTypeReserved, EventTypeInUse),
)
async def delete_event_type(name: NameInPath, caller: Writer, session: Transaction) -> None:
    """Events that were accepted stay, and are delivered. Not while a webhook selects the type by its name."""
    await service.delete(session, caller, name)
