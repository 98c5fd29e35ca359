"""Wire shapes of event types (``/v1/event-types``)."""

from typing import Any, Self

from pydantic import BaseModel, Field

from webhook_dispatcher.event_types.event_type import EventType


class EventTypeOut(BaseModel):
    """An event type. The schema (draft 2020-12) and the example are those of an event's `data`."""

    name: str = Field(examples=["withdrawal.approved.node.2"])
    function: str = Field(examples=["withdrawal"])
    description: str
    json_schema: dict[str, Any]
    example: dict[str, Any]
    built_in: bool = Field(description="Whether it comes with Causeway.")

    @classmethod
    def of(cls, event_type: EventType) -> Self:
        """Return the wire shape of a built-in type."""
        return cls(
            name=event_type.name,
            function=event_type.function,
            description=event_type.description,
            json_schema=event_type.json_schema,
            example=event_type.example,
            built_in=True,
        )
