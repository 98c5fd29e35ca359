"""Whether a wallet may be used at all. Pure."""

from datetime import datetime, timedelta

from wallet_gateway.external_wallets.errors import RetentionTooShort, WalletDisabled, WalletFrozen, WalletUnavailable
from wallet_gateway.external_wallets.repository import Wallet
from wallet_gateway.external_wallets.retention import forgets_too_early


def refuse_balances(wallet: Wallet) -> None:
    """Return if balances may be asked for; raises WalletDisabled."""
    if not wallet.enabled:
        raise WalletDisabled


def refuse_new_transfer(wallet: Wallet, *, open_seconds: float, review_after: timedelta, now: datetime) -> None:
    """Return if a transfer may begin; raises WalletDisabled, WalletFrozen, RetentionTooShort or WalletUnavailable.

    ``open_seconds``: how long this process's breaker stays open; what other processes found out stands in the wallet's row.
    """
    if not wallet.enabled:
        raise WalletDisabled
    if wallet.frozen:
        raise WalletFrozen
    if forgets_too_early(retention_of(wallet), review_after=review_after):
        raise RetentionTooShort
    open_seconds = max(open_seconds, broken_seconds(wallet, now=now))
    if open_seconds > 0:
        raise WalletUnavailable(retry_after_seconds=open_seconds)


def retention_of(wallet: Wallet) -> timedelta | None:
    """Return for how long a wallet says it knows a transfer's id; None where it has said nothing yet, or has no way to."""
    if wallet.protocol != "ewp/1" or wallet.capabilities is None:
        return None
    return timedelta(days=min(wallet.capabilities["retention_days"], timedelta.max.days))


def broken_seconds(wallet: Wallet, *, now: datetime) -> float:
    """Return for how long some process knows this wallet to be broken; 0 when none does."""
    return 0.0 if wallet.broken_until is None else max(0.0, (wallet.broken_until - now).total_seconds())
