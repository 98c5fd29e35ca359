"""Reading event types."""

from shared.pagination import Page, PageQuery, page_of
from shared.problems import NotFound, ValidationFailed
from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.event_types.event_type import EventType


def page(query: PageQuery) -> Page[EventType]:
    """Return one page in the catalogue's order; raises ValidationFailed for a cursor that is none of this list."""
    types = catalogue.all_types()
    start = 0
    if query.position is not None:
        positions = [event_type.position for event_type in types]
        if query.position not in positions:
            raise ValidationFailed(errors=[{"pointer": "query/cursor", "detail": "not a cursor of this list"}])
        start = positions.index(query.position) + 1
    return page_of(
        types[start : start + query.limit + 1],
        limit=query.limit,
        position=lambda event_type: event_type.position,
        item=lambda event_type: event_type,
    )


def get(name: str) -> EventType:
    """Return a type; raises NotFound."""
    event_type = catalogue.find(name)
    if event_type is None:
        raise NotFound("There is no such event type.")
    return event_type
