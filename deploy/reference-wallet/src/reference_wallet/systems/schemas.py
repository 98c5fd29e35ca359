"""Bodies of the control API."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictBool, StrictInt

from reference_wallet.faults.rule import FaultRule
from shared.ewp.fields import Amount, Currency, Ref, StepId, Time


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SystemIn(_Body):
    """What a wallet system can do; what is not said is as the server's settings say."""

    holds: StrictBool | None = None
    hold_seconds: Annotated[StrictInt | None, Field(ge=1)] = None


class TotalOut(BaseModel):
    """The money of all wallets of one currency."""

    currency: str
    ledger: str
    held: str


class SystemOut(BaseModel):
    """A wallet system."""

    name: str
    holds: bool
    hold_seconds: int | None
    latest_seq: int
    totals: list[TotalOut]


class KeyIn(_Body):
    """What callers sign with: the API key's text, or for `ed25519` the caller's public key, 32 bytes in base64."""

    algorithm: Literal["hmac-sha256", "ed25519"] = "hmac-sha256"
    secret: Annotated[SecretStr, Field(min_length=24, max_length=512)]
    ends_at: Time | None = None


class KeyOut(BaseModel):
    """`public_key` is with what this wallet's answers are verified, where the key is of `ed25519`."""

    key_id: str
    public_key: str | None


class WalletIn(_Body):
    """A wallet to open, with its first money."""

    owner_ref: Ref
    currency: Currency
    balance: Amount = Decimal(0)


class WalletChange(_Body):
    """Settings of a wallet; what is not said stays."""

    frozen: StrictBool | None = None
    transfer_max: Amount | None = None


class WalletOut(BaseModel):
    """A wallet."""

    wallet_id: str
    owner_ref: str
    currency: str
    ledger: str
    available: str
    held: str
    frozen: bool


class OwnTransactionIn(_Body):
    """A movement that the wallet makes by itself, so that nobody else knows of it."""

    transfer_id: StepId | None = None
    wallet_id: Ref
    op: Literal["credit", "debit"]
    amount: Amount


class RestoreIn(_Body):
    """To which change of state the system goes back, as if an old backup had been restored."""

    seq: Annotated[StrictInt, Field(ge=0)]


class ClockIn(_Body):
    """By how much this server's clock is wrong; negative: late."""

    skew_seconds: Annotated[float, Field(strict=True, ge=-86_400, le=86_400)]


class FaultOut(BaseModel):
    """A rule and how often it has fired."""

    rule: FaultRule
    fired: int
