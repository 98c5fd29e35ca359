"""What callers are told of faults. Pure."""

from typing import Final

DISABLED: Final = "wallet_disabled"
UNAVAILABLE: Final = "wallet_unavailable"

_SHOWN_AS: Final = {"breaker_open": UNAVAILABLE}
_DETAILS: Final = {
    DISABLED: "The wallet is disabled and was not asked.",
    UNAVAILABLE: "The wallet failed again and again, and is left alone for a while.",
    "rate_exceeded": "The wallet was asked as often as it may be.",
    "no_room": "Too many calls are waiting for this wallet already.",
    "timeout": "The wallet did not answer in time.",
    "more_balances": "The wallet has more balances of this client than are shown.",
}
_ANY_DETAIL: Final = "The wallet brought nothing that can be shown."


def fault_shown(code: str) -> tuple[str, str]:
    """Return the code and the text for a fault."""
    shown = _SHOWN_AS.get(code, code)
    return shown, _DETAILS.get(shown, _ANY_DETAIL)
