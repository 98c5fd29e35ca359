"""Named facts about rejected events. Tree: Problem ── RejectedEventReplayed, RejectedEventIncomplete 409."""

from shared.problems import Conflict


class RejectedEventReplayed(Conflict):
    """The rejected event was replayed before, and is accepted only once."""

    code, title = "rejected_event_replayed", "Rejected event replayed"
    default_detail = "This rejected event was replayed before; the event it became is named with it."


class RejectedEventIncomplete(Conflict):
    """The rejected event was too large to be kept whole, so that it cannot be replayed as it was."""

    code, title = "rejected_event_incomplete", "Rejected event incomplete"
    default_detail = (
        "This rejected event was too large to be kept whole: replay it with the corrected event as the body."
    )
