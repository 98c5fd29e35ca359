"""Named facts about event types.

Tree: Problem ── UnknownEventType 422 · SchemaRefused 422 · ExampleBreaksSchema 422 · EventTypeReserved 409 · EventTypeExists 409
· EventTypeInUse 409 · EventTypeLimitReached 409
"""

from collections.abc import Sequence

from shared.problems import Conflict, PointedError, ValidationFailed


class UnknownEventType(ValidationFailed):
    """There is no event type of that name; ``errors`` points at where it stands. Nothing of the request was done."""

    code, title = "unknown_event_type", "Unknown event type"
    default_detail = "There is no such event type; nothing of this request was done."

    def __init__(self, errors: Sequence[PointedError] = ()) -> None:
        super().__init__(errors=errors)


class SchemaRefused(ValidationFailed):
    """The schema is no JSON Schema of draft 2020-12, or one whose checks are not bounded; ``errors`` points at the place."""

    code, title = "schema_refused", "Schema refused"
    default_detail = "The schema is not one that events can be checked against."

    def __init__(self, errors: Sequence[PointedError] = ()) -> None:
        super().__init__(errors=errors)


class ExampleBreaksSchema(ValidationFailed):
    """The example does not fit the schema it came with; ``errors`` points at the place."""

    code, title = "example_breaks_schema", "Example breaks its schema"
    default_detail = "The example does not fit the schema."

    def __init__(self, errors: Sequence[PointedError] = ()) -> None:
        super().__init__(errors=errors)


class EventTypeReserved(Conflict):
    """The name belongs to a function that is built in; its types can be neither added nor changed."""

    code, title = "event_type_reserved", "Event type reserved"
    default_detail = "The part before the first dot names a built-in function; its event types are fixed."


class EventTypeExists(Conflict):
    """An own type of that name is there already."""

    code, title = "event_type_exists", "Event type exists"
    default_detail = "There is an event type of that name already; change it, or take another name."


class EventTypeInUse(Conflict):
    """A webhook selects the type by its name."""

    code, title = "event_type_in_use", "Event type in use"
    default_detail = "A webhook selects this event type by its name; take it out of the webhook's events first."


class EventTypeLimitReached(Conflict):
    """The realm has as many own types as it may."""

    code, title = "event_type_limit_reached", "Event type limit reached"
    default_detail = (
        "This tenant has 200 event types of its own in this environment, and cannot have more; delete one that is not"
        " used."
    )
