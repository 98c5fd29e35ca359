"""Wire shapes of reconciliation (``/v1/reconciliations``)."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.pagination import FilterTime, PageQuery
from shared.typeids import IdInPath, TypeId
from shared.wire_fields import StrictBody
from wallet_gateway.external_wallets.schemas import Evidence
from wallet_gateway.reconciliation.comparison import Kind
from wallet_gateway.reconciliation.models import Status
from wallet_gateway.transfers.schemas import WalletRefIn

BREAKS_SHOWN_MAX = 1000
ReconciliationIdInPath = Annotated[UUID, IdInPath("rec")]
BreakIdInPath = Annotated[UUID, IdInPath("brk")]

_ID = "01j9zq3s8hf3mbq5w7t2k4v6xy"
_AT = "2026-11-25T12:00:00Z"
_BREAK: dict[str, Any] = {
    "id": f"brk_{_ID}",
    "kind": "amount_differs",
    "step_id": f"tr_{_ID}.credit.1",
    "wallet_txn_id": "txn-100482",
    "ours": {"state": "committed", "op": "credit", "amount": "100.00", "currency": "USD"},
    "theirs": {"state": "committed", "op": "credit", "amount": "10.00", "currency": "USD"},
    "created_at": _AT,
    "resolved_at": None,
    "resolved_by": None,
    "evidence": None,
}
_RUN: dict[str, Any] = {
    "id": f"rec_{_ID}",
    "external_wallet_id": f"ew_{_ID}",
    "status": "breaks",
    "scheduled": False,
    "from": _AT,
    "to": _AT,
    "steps_compared": 118,
    "waits_for": None,
    "created_at": _AT,
    "created_by": f"key_{_ID}",
    "finished_at": _AT,
}


class ReconciliationIn(StrictBody):
    """Which wallet, and the time in which our steps began; by default the last seven days."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"external_wallet_id": f"ew_{_ID}"}]})

    external_wallet_id: WalletRefIn = Field(description="An `ew_…` id, or `home`.")
    from_: FilterTime | None = Field(default=None, alias="from")
    to: FilterTime | None = None


class ReconciliationOut(BaseModel):
    """A run. While it is running, ``waits_for`` says why it does not get on, where the wallet brings nothing."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RUN]}, serialize_by_alias=True, validate_by_name=True)

    id: Annotated[UUID, TypeId("rec")]
    external_wallet_id: Annotated[UUID, TypeId("ew")]
    status: Status
    scheduled: bool
    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    steps_compared: int
    waits_for: str | None
    created_at: datetime
    created_by: str
    finished_at: datetime | None


class BreakOut(BaseModel):
    """One difference. ``ours`` and ``theirs``: state, op, amount and currency by each side, null for nothing.

    ``feed_unreadable``: nothing was compared; ``theirs`` has the ``code`` that says why: what reading brought last,
    ``wallet_deleted``, ``feed_not_offered``, ``feed_too_long``, ``too_many_unknown``.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_BREAK]})

    id: Annotated[UUID, TypeId("brk")]
    kind: Kind
    step_id: str | None
    wallet_txn_id: str | None
    ours: dict[str, Any] | None
    theirs: dict[str, Any] | None
    created_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    evidence: str | None


class ReconciliationWithBreaksOut(ReconciliationOut):
    """A run with what it found: at most 1000 breaks, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_RUN, "breaks": [_BREAK]}]})

    breaks: list[BreakOut]


class ReconciliationListQuery(PageQuery):
    """Filters of the list."""

    external_wallet_id: Annotated[UUID, TypeId("ew")] | None = None
    status: Status | None = None


class ResolveBreakIn(StrictBody):
    """What became of it; kept in the audit log."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"evidence": "Reversed by the partner, ticket 1207."}]})

    evidence: Evidence
