"""How wallets are reached, together: the client, the gates before it, and the keys that open it. Pure data."""

from dataclasses import dataclass

from shared.egress import AddressPolicy
from wallet_gateway.external_wallets.sealed_keys import Endpoints
from wallet_gateway.isolation.gate import Isolation
from wallet_gateway.protocols.client import WalletClient


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletAccess:
    """What balances, tests, transfers and reconciliation of one process share; opened by ``resources.py``."""

    client: WalletClient
    isolation: Isolation
    endpoints: Endpoints
    policy: AddressPolicy
