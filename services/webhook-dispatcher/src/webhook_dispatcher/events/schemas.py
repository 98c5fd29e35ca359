"""Wire shapes of events (``/v1/events``)."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.pagination import FilterTime, PageQuery
from webhook_dispatcher import examples
from webhook_dispatcher.deliveries.schemas import DeliveryOut
from webhook_dispatcher.events.event import BATCH_EVENTS_MAX
from webhook_dispatcher.events.settled import CURSOR_PATTERN
from webhook_dispatcher.examples import shown


class EventIn(BaseModel):
    """One event. For documentation: the body is read by ``event.parse_published``, which keeps the bytes of ``data``."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=shown(examples.PUBLISHED_EVENT))

    id: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")] = None
    type: str
    subject: Annotated[str | None, Field(min_length=1, max_length=256)] = None
    occurred_at: datetime | None = None
    data: dict[str, Any]
    ordering_key: Annotated[str | None, Field(min_length=1, max_length=256)] = None


class EventBatchIn(BaseModel):
    """Up to 1 000 events; all are accepted, or none."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=shown({"events": [examples.PUBLISHED_EVENT]}))

    events: Annotated[list[EventIn], Field(min_length=1, max_length=BATCH_EVENTS_MAX)]


class PublishedOut(BaseModel):
    """What became of the events. ``ids`` in the order sent; ``duplicates`` were known already."""

    model_config = ConfigDict(json_schema_extra=shown(examples.PUBLISHED))

    accepted: int
    duplicates: int
    ids: list[str]


class EventOut(BaseModel):
    """An event as it is sent. ``body`` is exactly what standard deliveries carry, as text."""

    model_config = ConfigDict(json_schema_extra=shown(examples.EVENT))

    id: str
    type: str
    subject: str | None
    occurred_at: datetime
    environment: Literal["live", "test"]
    test: bool
    matched: Annotated[int, Field(description="How many deliveries it owes.")]
    data: Annotated[dict[str, Any], Field(description="As it was published, digit by digit.")]
    body: str
    redacted_at: Annotated[datetime | None, Field(description="When data and body were replaced by a marker.")] = None


class EventWithDeliveriesOut(EventOut):
    """An event with its deliveries."""

    model_config = ConfigDict(json_schema_extra=shown(examples.EVENT_WITH_DELIVERIES))

    deliveries: list[DeliveryOut]


class EventListQuery(PageQuery):
    """Filters of the list. ``after`` turns the order: oldest first, for reconciliation."""

    type: Annotated[str | None, Field(max_length=128)] = None
    subject: Annotated[str | None, Field(max_length=256)] = None
    from_: Annotated[FilterTime | None, Field(alias="from")] = None
    to: FilterTime | None = None
    q: Annotated[
        str | None,
        Field(
            max_length=128, description="A complete id, which finds just that event; or part of an id, type or subject."
        ),
    ] = None
    after: Annotated[
        str | None,
        Field(
            pattern=f"^$|{CURSOR_PATTERN}",
            description="`next_cursor` of a page read with `after`; empty for the beginning. Oldest first from there.",
        ),
    ] = None
