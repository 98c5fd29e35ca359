"""Why a call to a wallet is not made: nothing was sent.

Tree: NotAdmitted ── BreakerOpen · RateExceeded · NoRoom
"""

from typing import ClassVar


class NotAdmitted(Exception):  # noqa: N818 - errors are named facts
    """The call was not made. ``code`` is stable; it may be tried again after ``retry_after_seconds``."""

    code: ClassVar[str]

    def __init__(self, *, retry_after_seconds: float) -> None:
        super().__init__(self.code)
        self.retry_after_seconds = retry_after_seconds


class BreakerOpen(NotAdmitted):
    """The wallet failed again and again, and is left alone for a while."""

    code = "breaker_open"


class RateExceeded(NotAdmitted):
    """The wallet was asked as often as it may be."""

    code = "rate_exceeded"


class NoRoom(NotAdmitted):
    """So many calls to this wallet, or to its tenant's wallets together, wait for an answer that no other joins them."""

    code = "no_room"
