"""Named facts about events. Tree: Problem ── InvalidEvent 422 · UnknownEventType 422 (webhooks.errors)."""

from collections.abc import Sequence

from shared.problems import PointedError, ValidationFailed


class InvalidEvent(ValidationFailed):
    """An event does not have the documented form; ``errors`` points at each fault. Nothing of the request was accepted."""

    code, title = "invalid_event", "Invalid event"
    default_detail = "An event does not have the documented form; nothing of this request was accepted."

    def __init__(self, errors: Sequence[PointedError] = ()) -> None:
        super().__init__(errors=errors)
