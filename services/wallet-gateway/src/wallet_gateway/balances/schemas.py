"""Wire shapes of balances."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.ewp.fields import Currency, Ref
from shared.typeids import TypeId

View = Literal["home", "external", "all"]
Source = Literal["live", "cache"]
OnlyCurrency = Annotated[Currency, Field(pattern="^[A-Z]{3}$", description="Only this one, by ISO 4217.")]
Money = Annotated[str, Field(pattern=r"^(0|[1-9]\d{0,17})(\.\d{1,8})?$")]
WalletName = Annotated[str, Field(description="`home`, or an `ew_…` id.")]

_AT = "2026-03-01T12:00:00Z"
_BALANCE: dict[str, Any] = {
    "wallet_id": "acct-7",
    "owner_ref": "client-42",
    "currency": "USD",
    "scale": 2,
    "ledger": "250.00",
    "available": "200.00",
    "held": "50.00",
    "as_of": _AT,
    "fetched_at": _AT,
    "age_ms": 0,
    "source": "live",
}


class BalanceQueryIn(BaseModel):
    """Whose balances, and in which currency."""

    model_config = ConfigDict(extra="forbid")

    owner_ref: Annotated[Ref, Field(description="The client, as the wallet knows it.")]
    currency: OnlyCurrency | None = None


class ClientQueryIn(BaseModel):
    """Which wallets to ask."""

    model_config = ConfigDict(extra="forbid")

    view: View = "all"


class BalanceOut(BaseModel):
    """One balance. ``wallet_id`` is the wallet system's own name for the account. ``held`` of ``ledger`` is promised."""

    wallet_id: str
    owner_ref: str
    currency: str
    scale: int
    ledger: Money
    available: Money
    held: Money
    as_of: datetime
    fetched_at: datetime
    age_ms: int = Field(description="How long ago it was read.")
    source: Source


class BalanceFault(BaseModel):
    """Why the balances are not whole and current."""

    code: str
    detail: str


class BalancesOut(BaseModel):
    """A client's balances at one wallet; ``partial`` where they are missing, older than wanted, or not all there are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": [_BALANCE], "partial": False, "errors": []}]})

    data: list[BalanceOut]
    partial: bool
    errors: list[BalanceFault]


class ClientBalanceOut(BalanceOut):
    """One balance, and where it is."""

    wallet: WalletName


class AskedWallet(BaseModel):
    """How it went with one wallet. ``stale``: what was remembered is shown, since the wallet brought nothing."""

    wallet: WalletName
    id: Annotated[UUID, TypeId("ew")]
    name: str
    status: Literal["ok", "stale", "incomplete", "unavailable", "disabled"]
    error_code: str | None


class WalletFault(BalanceFault):
    """The same, of one wallet among others."""

    wallet: WalletName


class ClientBalancesOut(BaseModel):
    """A client's balances over all wallets. Nothing is added up: what is missing could not be seen in a sum."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "owner_ref": "client-42",
                    "view": "all",
                    "data": [{**_BALANCE, "wallet": "home"}],
                    "wallets": [
                        {
                            "wallet": "home",
                            "id": "ew_01jzzzzzzzzzzzzzzzzzzzzzzy",
                            "name": "Home wallet",
                            "status": "ok",
                            "error_code": None,
                        },
                        {
                            "wallet": "ew_01jzzzzzzzzzzzzzzzzzzzzzzz",
                            "id": "ew_01jzzzzzzzzzzzzzzzzzzzzzzz",
                            "name": "Payout partner",
                            "status": "unavailable",
                            "error_code": "timeout",
                        },
                    ],
                    "partial": True,
                    "errors": [
                        {
                            "code": "timeout",
                            "detail": "The wallet did not answer in time.",
                            "wallet": "ew_01jzzzzzzzzzzzzzzzzzzzzzzz",
                        }
                    ],
                }
            ]
        }
    )

    owner_ref: str
    view: View
    data: list[ClientBalanceOut]
    wallets: list[AskedWallet]
    partial: bool
    errors: list[WalletFault]
