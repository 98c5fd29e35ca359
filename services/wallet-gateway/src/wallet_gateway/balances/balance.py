"""A client's balances at one wallet, as they were read. Pure data."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.ewp.messages import WalletBalance


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceKey:
    """What was asked for, and of which server: a changed base URL never shows what the one before it said."""

    wallet_id: UUID
    base_url: str
    owner_ref: str
    currency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a wallet answered. ``complete`` is False where it has more than is shown; ``fetched_at_seconds`` is monotonic."""

    balances: Sequence[WalletBalance]
    complete: bool
    fetched_at: datetime
    fetched_at_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancesRead:
    """The outcome for one wallet: a snapshot or none, and why it is not a whole and current one (``fault``)."""

    snapshot: Snapshot | None
    source: Literal["live", "cache"]
    age_ms: int
    fault: str | None = None
