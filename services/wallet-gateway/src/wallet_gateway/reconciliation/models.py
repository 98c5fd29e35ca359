"""What reconciliation keeps. Pure data."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.access import Realm
from wallet_gateway.reconciliation.comparison import Kind

Status = Literal["running", "clean", "breaks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One row of ``reconciliations``. ``waits_for`` is why it does not get on: the code of what the wallet did last."""

    id: UUID
    tenant_id: UUID
    environment: Literal["live", "test"]
    wallet_id: UUID
    is_scheduled: bool
    from_at: datetime
    to_at: datetime
    status: Status
    steps_compared: int
    waits_for: str | None
    created_at: datetime
    created_by: str
    finished_at: datetime | None
    attempts: int
    entries_read: int

    @property
    def realm(self) -> Realm:
        """Return whose run it is."""
        return Realm(tenant_id=self.tenant_id, environment=self.environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBreak:
    """One row of ``reconciliation_breaks``."""

    id: UUID
    kind: Kind
    step_id: str | None
    wallet_txn_id: str | None
    ours: dict[str, Any] | None
    theirs: dict[str, Any] | None
    created_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    evidence: str | None
