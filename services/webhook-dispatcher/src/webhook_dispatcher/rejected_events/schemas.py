"""Wire shapes of rejected events (``/v1/rejected-events``)."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from shared.pagination import FilterTime, PageQuery
from shared.typeids import IdInPath, TypeId

RejectedId = Annotated[UUID, TypeId("rej")]
RejectedIdInPath = Annotated[UUID, IdInPath("rej")]

_EXAMPLE: JsonDict = {
    "id": "rej_01j9zq3s8hf3mbq5w7t2k4v6xy",
    "source": "causeway:events",
    "entry_id": "1764086400000-0",
    "reason": "invalid_event",
    "detail": "/subject: the id of the request is required for this event type",
    "event_id": "wr-7f3k2m9q-approved-2",
    "event_type": "withdrawal.approved.node.2",
    "size_bytes": 312,
    "complete": True,
    "rejected_at": "2026-11-25T16:00:00Z",
    "replayed_at": None,
    "replayed_by": None,
    "replayed_event_id": None,
}


class RejectedEventOut(BaseModel):
    """An entry of a queue that could not be accepted, and why."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: RejectedId
    source: Annotated[str, Field(description="The stream or topic it came by.")]
    entry_id: Annotated[str, Field(description="Its id there.")]
    reason: str
    detail: Annotated[str, Field(description="Each fault with its pointer.")]
    event_id: Annotated[str | None, Field(description="As far as the entry says it in a readable way.")]
    event_type: Annotated[str | None, Field(description="As far as the entry says it in a readable way.")]
    size_bytes: int
    complete: Annotated[bool, Field(description="Whether it is kept whole, so that it can be replayed as it was.")]
    rejected_at: datetime
    replayed_at: datetime | None
    replayed_by: str | None
    replayed_event_id: Annotated[str | None, Field(description="The event it has become.")]


class RejectedEventWithBodyOut(RejectedEventOut):
    """A rejected entry with its body as text; one that was too large is shown up to 16 KiB."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{**_EXAMPLE, "body": '{"tenant_id":"ten_01j9zq3s8hf3mbq5w7t2k4v6xy","type":"withdrawal.…'}]
        }
    )

    body: str


class RejectedEventListQuery(PageQuery):
    """Filters of the list."""

    reason: Annotated[str | None, Field(max_length=64, pattern=r"^[^\x00]*$")] = None
    type: Annotated[str | None, Field(max_length=128, pattern=r"^[^\x00]*$")] = None
    from_: Annotated[FilterTime | None, Field(alias="from")] = None
    to: FilterTime | None = None
    replayed: Annotated[bool | None, Field(description="Only those that were replayed, or were not.")] = None
