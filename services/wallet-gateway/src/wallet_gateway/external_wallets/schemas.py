"""Wire shapes of wallets (``/v1/external-wallets``, ``/v1/home-wallet``)."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictInt, field_validator, model_validator

from shared.ewp.messages import WellKnown
from shared.pagination import PageQuery
from shared.typeids import IdInPath, TypeId
from shared.wire_fields import (
    OVERLAP_SECONDS_DEFAULT,
    Metadata,
    Name,
    OverlapSeconds,
    ShownSecret,
    StrictBody,
    document_never_null,
    not_null,
)
from wallet_gateway.external_wallets import examples
from wallet_gateway.external_wallets.examples import shown
from wallet_gateway.external_wallets.protocol_limits import misfit_of
from wallet_gateway.external_wallets.transfer_call import TransferCallIn
from wallet_gateway.protocols.endpoint import Protocol, ResponseSignatures

WalletId = Annotated[UUID, TypeId("ew")]
WalletIdInPath = Annotated[UUID, IdInPath("ew")]
BaseUrl = Annotated[str, Field(min_length=1, max_length=1024, description="Where the wallet protocol begins.")]
TimeoutSeconds = Annotated[StrictInt, Field(ge=1, le=30, description="For one request, everything included.")]
BalanceCacheSeconds = Annotated[StrictInt, Field(ge=0, le=60, description="0: each balance is read live.")]
StepSeconds = Annotated[
    StrictInt, Field(ge=10, le=600, description="How long a step may be sent again before it is cancelled.")
]
OwnKey = Annotated[SecretStr, Field(min_length=1, max_length=512, description="An own key of at least 24 bytes.")]
Evidence = Annotated[str, Field(min_length=1, max_length=4000, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]


class WalletSettings(StrictBody):
    """What is set of a wallet, external or home."""

    base_url: BaseUrl
    protocol: Protocol = "ewp/1"
    response_signatures: ResponseSignatures = "optional"
    transfer_call: TransferCallIn | None = Field(default=None, description="Only for crm-v1: its write call.")
    timeout_seconds: TimeoutSeconds = 10
    balance_cache_seconds: BalanceCacheSeconds = 5
    step_seconds: StepSeconds = 60
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_the_protocol(self) -> Self:
        misfit = misfit_of(
            self.protocol,
            response_signatures=self.response_signatures,
            has_transfer_call=self.transfer_call is not None,
        )
        if misfit is not None:
            raise ValueError(misfit[1])
        return self


class WalletIn(WalletSettings):
    """The body of ``POST /v1/external-wallets``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "Payout partner", "base_url": "https://wallet.example.com/causeway"}],
        }
    )

    name: Name
    api_key: OwnKey | None = Field(default=None, description="An own key of at least 24 bytes; else one is generated.")


class HomeWalletIn(WalletSettings):
    """The body of ``PUT /v1/home-wallet``: all its settings; those that are absent take their defaults, the key stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"base_url": "https://crm.example.com/wallet"}]})

    name: Name = "Home wallet"
    api_key: OwnKey | None = Field(
        default=None,
        description="An own key of at least 24 bytes. Absent: generated for a new wallet, unchanged for one that exists."
        " Another one than the present one is a rotation with the default overlap.",
    )


_NEVER_NULL = (
    *(
        "name",
        "base_url",
        "response_signatures",
        "timeout_seconds",
        "balance_cache_seconds",
        "step_seconds",
        "metadata",
    ),
)


def _document_patch(schema: dict[str, Any]) -> None:
    document_never_null(_NEVER_NULL)(schema)
    schema["examples"] = [examples.WALLET_PATCH]


class WalletPatch(StrictBody):
    """The body of ``PATCH /v1/external-wallets/{id}``: the fields to change. ``protocol`` is fixed at creation."""

    model_config = ConfigDict(json_schema_extra=_document_patch)

    name: Name | None = None
    base_url: BaseUrl | None = None
    response_signatures: ResponseSignatures | None = None
    transfer_call: TransferCallIn | None = None
    timeout_seconds: TimeoutSeconds | None = None
    balance_cache_seconds: BalanceCacheSeconds | None = None
    step_seconds: StepSeconds | None = None
    metadata: Metadata | None = None

    _not_null = field_validator(*_NEVER_NULL, mode="before")(not_null)


class Warned(BaseModel):
    """What an operator should know about this wallet."""

    code: str
    detail: str


class WalletOut(BaseModel):
    """A wallet as it is shown. ``capabilities`` is its well-known document as it was read last."""

    model_config = ConfigDict(json_schema_extra=shown(examples.WALLET))

    id: WalletId
    is_home: bool
    name: str
    base_url: str
    protocol: Protocol
    response_signatures: ResponseSignatures
    transfer_call: TransferCallIn | None
    timeout_seconds: int
    balance_cache_seconds: int
    step_seconds: int
    metadata: dict[str, Any]
    enabled: bool
    disabled_at: datetime | None
    frozen: bool
    frozen_reason: str | None
    frozen_at: datetime | None
    api_key_id: Annotated[UUID, TypeId("key")]
    capabilities: WellKnown | None
    capabilities_at: datetime | None
    warnings: list[Warned]
    environment: Literal["live", "test"]
    created_at: datetime
    created_by: str
    updated_at: datetime


class WalletCreated(WalletOut):
    """A new wallet with its API key, which `api-key/reveal` shows again."""

    model_config = ConfigDict(json_schema_extra=shown(examples.WALLET_CREATED))

    api_key: ShownSecret = ""


class HomeWalletSet(WalletOut):
    """The home wallet; with its API key where this call set it."""

    model_config = ConfigDict(json_schema_extra=shown(examples.WALLET_CREATED))

    api_key: Annotated[str | None, Field(description="Shown where this call made or changed it.")] = None


class WalletListQuery(PageQuery):
    """Filters of the list."""

    enabled: bool | None = None
    q: Annotated[str | None, Field(max_length=128, description="Part of the name or base URL.")] = None


class RotateKeyIn(StrictBody):
    """A new API key; the old one signs beside it for the overlap."""

    model_config = ConfigDict(json_schema_extra=shown(examples.ROTATE))

    api_key: OwnKey | None = None
    overlap_seconds: OverlapSeconds = OVERLAP_SECONDS_DEFAULT


class ApiKeyOut(BaseModel):
    """The API key, the id that signatures carry as ``keyid``, and until when the key before it still signs."""

    model_config = ConfigDict(json_schema_extra=shown(examples.API_KEY))

    api_key: ShownSecret = ""
    api_key_id: Annotated[UUID, TypeId("key")]
    created_at: datetime
    previous_expires_at: datetime | None = None


class UnfreezeIn(StrictBody):
    """Why the wallet can be trusted again; kept in the audit log."""

    model_config = ConfigDict(json_schema_extra=shown(examples.UNFREEZE))

    evidence: Evidence


class ConnectionCheck(BaseModel):
    """One line of a connection test."""

    name: Literal["address", "tls", "signature", "clock_skew", "capabilities"]
    status: Literal["ok", "warning", "failed", "skipped"]
    code: str | None = Field(default=None, description="Of a fault: stable, for programs.")
    detail: str = Field(description="For people.")


class ConnectionTestOut(BaseModel):
    """``ok`` where no check failed."""

    model_config = ConfigDict(json_schema_extra=shown(examples.CONNECTION_TEST))

    ok: bool
    checks: list[ConnectionCheck]
    capabilities: WellKnown | None
