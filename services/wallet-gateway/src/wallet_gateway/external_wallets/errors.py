"""Named facts about wallets.

Tree: Problem ── BaseUrlNotAllowed 422 · ApiKeyMalformed 422 · TooManyKeys 409 · WalletLimitReached 409 ·
WalletRegisteredTwice 409 · WalletDisabled 409 · WalletFrozen 409 · RetentionTooShort 409 · WalletNotFrozen 409 ·
WalletInUse 409 · OperationNotSupported 409 · WalletUnavailable 503
"""

import math

from shared.problems import Conflict, ServiceUnavailable, ValidationFailed


class BaseUrlNotAllowed(ValidationFailed):
    """The base URL is not one that requests may be sent to: its form, scheme, port or address is refused."""

    code, title = "destination_not_allowed", "Destination not allowed"

    def __init__(self, detail: str = "The URL is not one that requests may be sent to.") -> None:
        super().__init__(detail, errors=[{"pointer": "/base_url", "detail": detail}])


class ApiKeyMalformed(ValidationFailed):
    """The own API key is too short, or is one that must not be used here."""

    code, title = "api_key_malformed", "API key malformed"

    def __init__(self, detail: str = "An own API key has at least 24 bytes.") -> None:
        super().__init__(detail, errors=[{"pointer": "/api_key", "detail": detail}])


class TooManyKeys(Conflict):
    """An earlier key still signs beside the newest one: a wallet is never sent more than two signatures."""

    code, title = "too_many_keys", "Too many keys"
    default_detail = (
        "The key before this one still signs: wait until its overlap ends, or rotate with overlap_seconds 0."
    )


class WalletLimitReached(Conflict):
    """The realm has as many external wallets as it may: the balances of one client are asked of all of them."""

    code, title = "wallet_limit_reached", "Wallet limit reached"
    default_detail = (
        "This tenant has 200 external wallets in this environment, and cannot have more; delete one that is not used."
    )


class WalletRegisteredTwice(Conflict):
    """Another wallet of the realm has the same base URL and the same API key: both are one wallet system."""

    code, title = "wallet_registered_twice", "Wallet registered twice"
    default_detail = (
        "Another wallet here has the same base URL and the same API key; a transfer between the two would move nothing."
    )


class WalletDisabled(Conflict):
    """The wallet is disabled: no balance is read and no transfer started."""

    code, title = "wallet_disabled", "Wallet disabled"
    default_detail = "The wallet is disabled; enable it first."


class WalletFrozen(Conflict):
    """The wallet is frozen for transfers, because its own records contradict themselves."""

    code, title = "wallet_frozen", "Wallet frozen"
    default_detail = "The wallet is frozen for transfers; see its frozen_reason, and unfreeze it with evidence."


class RetentionTooShort(Conflict):
    """The wallet says that it forgets the ids of transfers before their outcome would be certain: it might do one twice."""

    code, title = "wallet_retention_too_short", "Wallet retention too short"
    default_detail = (
        "The wallet says in retention_days that it forgets transfers too early to take part in any;"
        " when it keeps them longer, test the connection, so that it is asked again."
    )


class WalletNotFrozen(Conflict):
    """There is nothing to unfreeze."""

    code, title = "wallet_not_frozen", "Wallet not frozen"
    default_detail = "The wallet is not frozen."


class WalletInUse(Conflict):
    """Transfers with this wallet are under way: without its address and keys they could not be resolved."""

    code, title = "wallet_in_use", "Wallet in use"
    default_detail = "Transfers with this wallet are under way; disable it, and try again when they have ended."


class OperationNotSupported(Conflict):
    """Deposits and withdrawals through payment providers do not exist for external wallets."""

    code, title = "operation_not_supported", "Operation not supported"
    default_detail = "External wallets take part in internal transfers only: POST /v1/transfers."


class WalletUnavailable(ServiceUnavailable):
    """The wallet does not answer, and is left alone for a while; nothing was done."""

    code, title = "wallet_unavailable", "Wallet unavailable"

    def __init__(self, *, retry_after_seconds: float = 1.0) -> None:
        seconds = max(1, math.ceil(retry_after_seconds))
        super().__init__("The wallet does not answer just now; nothing was done.", retry_after_seconds=seconds)
