"""Facts about reading balances."""

from shared.problems import NotFound


class WalletNotFound(NotFound):
    """The wallet system has no such wallet."""

    code, title = "wallet_not_found", "Unknown wallet"
    default_detail = "This wallet system has no such wallet."
