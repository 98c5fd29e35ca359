"""Named facts about reconciliation.

Tree: Problem ── FeedNotOffered 409 · TooManyReconciliations 409 · BreakResolved 409
"""

from shared.problems import Conflict


class FeedNotOffered(Conflict):
    """The wallet has no feed to compare with."""

    code, title = "feed_not_offered", "Feed not offered"
    default_detail = (
        "This wallet has no feed: crm-v1 knows none; with ewp/1 the well-known document says whether there is one."
    )


class TooManyReconciliations(Conflict):
    """So many reconciliations of this wallet are running that no other joins them."""

    code, title = "too_many_reconciliations", "Too many reconciliations"
    default_detail = "Ten reconciliations of this wallet are running; wait until one has finished."


class BreakResolved(Conflict):
    """The break was resolved before."""

    code, title = "break_resolved", "Break resolved"
    default_detail = "This break was resolved before; its evidence stays as it is."
