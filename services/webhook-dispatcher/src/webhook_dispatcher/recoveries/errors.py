"""Named facts about recoveries. Tree: Problem ── RecoveryLimitReached, RecoveryEnded 409."""

from shared.problems import Conflict


class RecoveryLimitReached(Conflict):
    """So many recoveries of the webhook wait or run that one more would only wait behind them."""

    code, title = "recovery_limit_reached", "Recovery limit reached"
    default_detail = "Ten recoveries of this webhook wait or run already; cancel one, or wait until one has ended."


class RecoveryEnded(Conflict):
    """The recovery has sent everything again: there is nothing left to cancel."""

    code, title = "recovery_ended", "Recovery ended"
    default_detail = "This recovery is complete; what it sent again can be cancelled one by one."
