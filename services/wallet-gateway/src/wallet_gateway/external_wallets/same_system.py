"""Whether two wallets are one system, registered twice. Pure.

A wallet system may say who it is (``system_id`` of its well-known document): then that decides. One that does not is known by its
base URL alone, and behind one base URL there may be several systems, told apart by the API key: then only certainty counts.
"""

import functools

from shared.egress import place_of
from wallet_gateway.external_wallets.repository import Wallet


@functools.lru_cache(maxsize=4096)
def canonical(base_url: str) -> str:
    """Return a base URL, as wallets have them, in the one form in which those that lead to the same place are equal."""
    return place_of(base_url)


def system_id_of(wallet: Wallet) -> str | None:
    """Return what a wallet system calls itself; None where it has said nothing."""
    said: str | None = (wallet.capabilities or {}).get("system_id")
    return said


def stays_within(source: Wallet, target: Wallet, *, source_account: str, target_account: str) -> bool | None:
    """Tell whether a transfer between two wallets would stay within one; None where nobody can be certain.

    A document that does not say who speaks proves nothing: a wallet system tells strangers less, and to it we are one while a
    clock is wrong.
    """
    if source.id == target.id:
        return True
    ids = system_id_of(source), system_id_of(target)
    if None not in ids:
        return ids[0] == ids[1]
    if canonical(source.base_url) != canonical(target.base_url) or source_account != target_account:
        return False
    return None if "ewp/1" in {source.protocol, target.protocol} else True
