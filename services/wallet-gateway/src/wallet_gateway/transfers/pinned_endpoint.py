"""Where a step is made and resolved: the wallet's address and protocol as they were when it began.

Written down with the step. The keys are not: they belong to the wallet, and those it has at the time of a call sign it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wallet_gateway.external_wallets.repository import StoredWallet, Wallet


def pin(wallet: Wallet) -> dict[str, Any]:
    """Return what a step keeps of its wallet."""
    return {"base_url": wallet.base_url, "protocol": wallet.protocol, "transfer_call": wallet.transfer_call}


def as_pinned(stored: StoredWallet, pinned: Mapping[str, Any]) -> StoredWallet:
    """Return the wallet as it is now, at the address and in the protocol that were pinned."""
    return StoredWallet(wallet=replace(stored.wallet, **pinned), keys=stored.keys)


def repeats_safely(protocol: str) -> bool:
    """Tell whether a step in this protocol may be sent again after an unknown outcome."""
    return protocol == "ewp/1"
