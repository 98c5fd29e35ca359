"""``/v1/event-types``: what can be published and subscribed to."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from shared.access import Caller, require
from shared.pagination import Page, PageQuery
from shared.problems import NotFound, problem_responses
from shared.request_body import StrictRoute
from webhook_dispatcher.event_types import service
from webhook_dispatcher.event_types.schemas import EventTypeOut

router = APIRouter(prefix="/v1/event-types", tags=["event types"], route_class=StrictRoute)

Reader = Annotated[Caller, require("webhooks:read")]


@router.get("", summary="List event types", responses=problem_responses())
async def list_event_types(query: Annotated[PageQuery, Query()], _caller: Reader) -> Page[EventTypeOut]:
    """List the built-in event types by function, each with the JSON Schema and an example of its `data`."""
    page = service.page(query)
    return Page(data=[EventTypeOut.of(event_type) for event_type in page.data], next_cursor=page.next_cursor)


@router.get("/{name}", summary="Get an event type", responses=problem_responses(NotFound))
async def get_event_type(name: Annotated[str, Path(max_length=128)], _caller: Reader) -> EventTypeOut:
    """Return one event type with its JSON Schema and example."""
    return EventTypeOut.of(service.get(name))
