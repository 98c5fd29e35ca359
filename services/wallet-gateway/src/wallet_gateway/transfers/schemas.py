"""Wire shapes of transfers (``/v1/transfers``)."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, WithJsonSchema

from shared import typeids
from shared.ewp.fields import Currency, Ref
from shared.ewp.money import parse_amount
from shared.pagination import FilterTime, PageQuery
from shared.typeids import IdInPath, TypeId
from shared.wire_fields import Metadata, StrictBody, without_controls
from wallet_gateway.external_wallets.schemas import Evidence
from wallet_gateway.transfers.plan import Leg, StepKind
from wallet_gateway.transfers.repository import TransferFilter
from wallet_gateway.transfers.resolution import Call, Outcome, State
from wallet_gateway.transfers.transfer import Status

WAIT_MS_MAX = 10_000
TransferIdInPath = Annotated[UUID, IdInPath("tr")]
TransferId = Annotated[UUID, TypeId("tr")]
Money = Annotated[str, Field(pattern=r"^(0|[1-9]\d{0,17})(\.\d{1,8})?$")]


def _wallet(value: object) -> object:
    return typeids.decode("ew", value) if isinstance(value, str) and value != "home" else value


def _well_formed(text: str) -> str:
    parse_amount(text)
    return text


WalletRefIn = Annotated[
    Literal["home"] | UUID,
    BeforeValidator(_wallet),
    WithJsonSchema({"type": "string", "pattern": "^(home|ew_[0-7][0-9a-hjkmnp-tv-z]{25})$"}),
]
AmountIn = Annotated[
    StrictStr, AfterValidator(_well_formed), Field(json_schema_extra={"pattern": r"^(0|[1-9]\d{0,17})(\.\d{1,8})?$"})
]

_ID = "01j9zq3s8hf3mbq5w7t2k4v6xy"
_AT = "2026-11-25T12:00:00Z"
_ORDERED: dict[str, Any] = {
    "owner_ref": "client-42",
    "source": {"wallet": "home", "account": "acct-7"},
    "target": {"wallet": f"ew_{_ID}", "account": "w-118"},
    "amount": "100.00",
    "currency": "USD",
    "reference": "order-2026-1187",
    "metadata": {},
}
_SHOWN: dict[str, Any] = {
    "id": f"tr_{_ID}",
    "status": "pending",
    "outcome_unknown": False,
    **_ORDERED,
    "failure": None,
    "created_at": _AT,
    "updated_at": _AT,
    "ended_at": None,
}


class SideIn(StrictBody):
    """`home` or an external wallet, and the account in it by the wallet's own name."""

    wallet: WalletRefIn
    account: Ref


class TransferIn(StrictBody):
    """A movement of money between two wallets of one client."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ORDERED]})

    owner_ref: Annotated[Ref, Field(description="The client, as both wallets know it.")]
    source: SideIn
    target: SideIn
    amount: Annotated[AmountIn, Field(description="Decimal text at the currency's scale, more than zero.")]
    currency: Annotated[Currency, Field(json_schema_extra={"pattern": "^[A-Z]{3}$"}, description="ISO 4217.")]
    reference: Annotated[str, Field(max_length=256), AfterValidator(without_controls)] | None = None
    metadata: Metadata = Field(default_factory=dict)


class WaitQuery(BaseModel):
    """How long to wait for the end."""

    model_config = ConfigDict(extra="forbid")

    wait_ms: Annotated[
        int, Field(ge=0, le=WAIT_MS_MAX, description="Answer with the final state if it comes in this time.")
    ] = 0


class ResolveIn(StrictBody):
    """What a person found out, and by what."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"decision": "completed", "evidence": "The partner's ledger shows txn-100482, seen by phone."}]
        }
    )

    decision: Literal["completed", "failed"]
    evidence: Evidence


class SideOut(BaseModel):
    """One side."""

    wallet: Annotated[str, Field(description="`home`, or an `ew_…` id.")]
    account: str


class FailureOut(BaseModel):
    """Why: a stable code, and words for people."""

    code: str
    detail: str


class TransferOut(BaseModel):
    """A transfer. `failed`: nothing moved. `reversed`: moved, and refunded. `manual_review`: a person must decide."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SHOWN]})

    id: TransferId
    status: Status
    outcome_unknown: Annotated[bool, Field(description="A step's result is not known; it is being found out.")]
    owner_ref: str
    source: SideOut
    target: SideOut
    amount: Money
    currency: str
    reference: str | None
    metadata: dict[str, str]
    failure: FailureOut | None
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


class AttemptOut(BaseModel):
    """One call. Without an outcome it is under way."""

    number: int
    call: Call
    intended_at: datetime
    started_at: datetime | None
    duration_ms: float | None
    outcome: Outcome | None
    code: str | None
    wallet_state: State | None
    response_status: int | None
    request_digest: str | None
    response_digest: str | None
    signature_verified: bool | None
    clock_skew_seconds: float | None


class StepOut(BaseModel):
    """One idempotent step at one wallet, with every call made for it."""

    id: str
    leg: Leg
    kind: StepKind
    wallet: str
    base_url: Annotated[str, Field(description="Where it is made and resolved.")]
    begun_at: datetime
    not_after: datetime
    ended_at: datetime | None
    latency_ms: float | None
    outcome: Literal["applied", "not_applied"] | None
    failure: FailureOut | None
    wallet_txn_id: str | None
    attempts: list[AttemptOut]


class DecisionOut(BaseModel):
    """What a person decided."""

    decision: Literal["completed", "failed"]
    evidence: str
    decided_by: str
    decided_at: datetime


class TransferWithTimelineOut(TransferOut):
    """A transfer with its timeline. ``decision`` is the newest of ``decisions``: it may come to review more than once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_SHOWN, "decision": None, "decisions": [], "steps": []}]}
    )

    decision: DecisionOut | None
    decisions: Annotated[list[DecisionOut], Field(description="All of them, oldest first.")]
    steps: list[StepOut]


class TransferListQuery(PageQuery):
    """Filters of the list."""

    status: Status | None = None
    wallet: Annotated[WalletRefIn | None, Field(description="On either side.")] = None
    owner_ref: Ref | None = None
    reference: Annotated[str | None, Field(max_length=256)] = None
    from_: Annotated[FilterTime | None, Field(alias="from")] = None
    to: FilterTime | None = None

    def as_filter(self) -> TransferFilter:
        """Return the filters without the page."""
        return TransferFilter(
            status=self.status,
            wallet=self.wallet,
            owner_ref=self.owner_ref,
            reference=self.reference,
            begun_from=self.from_,
            begun_to=self.to,
        )
