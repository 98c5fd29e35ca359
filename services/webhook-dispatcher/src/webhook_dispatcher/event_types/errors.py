"""Named facts about event types. Tree: Problem ── UnknownEventType 422."""

from collections.abc import Sequence

from shared.problems import PointedError, ValidationFailed


class UnknownEventType(ValidationFailed):
    """There is no event type of that name; ``errors`` points at where it stands. Nothing of the request was done."""

    code, title = "unknown_event_type", "Unknown event type"
    default_detail = "There is no such event type; nothing of this request was done."

    def __init__(self, errors: Sequence[PointedError] = ()) -> None:
        super().__init__(errors=errors)
