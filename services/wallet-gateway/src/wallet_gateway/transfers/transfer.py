"""A transfer and its steps as they are written down. Pure data."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from shared.access import Realm
from wallet_gateway.transfers.plan import Failure, Shape, Side, StepKind
from wallet_gateway.transfers.resolution import Attempt, Mode

Status = Literal["pending", "completed", "failed", "reversed", "manual_review"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One side: a wallet system, and the account in it by the system's own name."""

    wallet_id: UUID
    is_home: bool
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What is to be moved, from where to where. None of it ever changes, but for ``shape``, which is decided once."""

    id: UUID
    realm: Realm
    owner_ref: str
    source: Account
    target: Account
    amount: Decimal
    currency: str
    reference: str | None
    shape: Shape | None
    created_at: datetime

    def account(self, side: Side) -> Account:
        """Return one of the two sides."""
        return self.target if side == "target" else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step. ``endpoint`` is where it is made and resolved, as ``pinned_endpoint.pin`` wrote it."""

    number: int
    kind: StepKind
    mode: Mode
    wallet_id: UUID
    endpoint: dict[str, Any]
    begun_at: datetime
    not_after: datetime
    outcome: Literal["applied", "not_applied"] | None = None
    hold_ends: bool = False
    failure: Failure | None = None
    attempts: tuple[Attempt, ...] = ()


@dataclass(slots=True, kw_only=True)
class Claimed:
    """A transfer that this worker carries out, under ``fence``; ``revision`` counts what was written down."""

    transfer: Transfer
    fence: int
    revision: int
    steps: list[StepRow] = field(default_factory=list)

    @property
    def place(self) -> UUID:
        """Return the wallet that it is at: of its latest step, or its source."""
        return self.steps[-1].wallet_id if self.steps else self.transfer.source.wallet_id
