"""Named facts about events. Tree: Problem ── InvalidEvent 422 · DataBreaksSchema 422 · TooManyDeliveries 422.

``refusal_of`` chooses among them and their neighbours.
"""

from collections.abc import Sequence

from shared.problems import PayloadTooLarge, PointedError, Problem, ValidationFailed
from webhook_dispatcher.event_types.errors import UnknownEventType
from webhook_dispatcher.events.event import EVENT_BYTES_MAX, InvalidEventError


class InvalidEvent(ValidationFailed):
    """An event does not have the documented form; ``errors`` points at each fault. Nothing of the request was accepted."""

    code, title = "invalid_event", "Invalid event"
    default_detail = "An event does not have the documented form; nothing of this request was accepted."

    def __init__(self, errors: Sequence[PointedError] = ()) -> None:
        super().__init__(errors=errors)


class DataBreaksSchema(ValidationFailed):
    """An event's ``data`` does not fit the schema of its type; ``errors`` points at the place. Nothing was accepted."""

    code, title = "data_breaks_schema", "Data breaks its schema"
    default_detail = "An event's data does not fit the schema of its type; nothing of this request was accepted."

    def __init__(self, errors: Sequence[PointedError] = ()) -> None:
        super().__init__(errors=errors)


class TooManyDeliveries(ValidationFailed):
    """The events of one request would owe more deliveries than are written at once. Nothing of the request was accepted."""

    code, title = "too_many_deliveries", "Too many deliveries"
    default_detail = (
        "The events of one request may owe 100 000 deliveries together, and these would owe more; nothing of this request was"
        " accepted. Send fewer events at once."
    )


def refusal_of(error: InvalidEventError) -> Problem:
    """Return the problem that a publisher over HTTP gets for an event that is not acceptable."""
    if error.code == "unknown_event_type":
        return UnknownEventType(error.errors)
    if error.code == "data_breaks_schema":
        return DataBreaksSchema(error.errors)
    if error.code == "event_too_large" and all(fault["pointer"] == "" for fault in error.errors):
        return PayloadTooLarge(EVENT_BYTES_MAX, errors=error.errors)
    return InvalidEvent(error.errors)
