"""What ``ewp/1`` puts into bodies, read strictly (design: wallet-protocol.md).

Both directions: the gateway reads answers, a wallet reads orders. JSON by the rules of ``strict_json`` (no duplicate keys, no
NaN, bounded depth); every field of exactly its type; amounts only as text, at their currency's scale. Fields that an answer has
beyond the protocol are passed over: a later minor version may add some. Fields that an order has beyond it are refused: they
would ask for something that is not going to be done.

Errors::

    MalformedMessageError (ValueError)   ``pointer`` and ``detail`` say what is wrong and never quote a value
    ├── MalformedAnswerError             a wallet's answer
    └── MalformedRequestError            a request to a wallet
"""

from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared import strict_json
from shared.ewp.fields import Amount, Currency, CurrencyCode, Ref, StepId, Time
from shared.ewp.money import MoneyError, at_scale, scale_of

VERSION: Final = "ewp/1"
PAGE_ITEMS_MAX: Final = 200
OWNER_REFS_MAX: Final = 200
SEQ_MAX: Final = 2**63 - 1
RETENTION_DAYS_MAX: Final = 2**31 - 1
"""Whatever may stand for "for ever" in 32 bits; more is no number of days."""

Op = Literal["credit", "debit"]
Mode = Literal["hold", "direct"]
State = Literal["held", "committed", "cancelled", "rejected"]
RejectionCode = Literal[
    "insufficient_funds",
    "wallet_not_found",
    "wallet_frozen",
    "currency_mismatch",
    "precision_exceeded",
    "limit_exceeded",
    "cancelled",
    "expired",
]
Seq = Annotated[int, Field(ge=0, le=SEQ_MAX)]


class MalformedMessageError(ValueError):
    """A body is not what the protocol says. ``pointer`` is a JSON pointer (RFC 6901), "" for the whole."""

    def __init__(self, detail: str, *, pointer: str = "") -> None:
        super().__init__(f"{pointer or 'the body'}: {detail}")
        self.detail = detail
        self.pointer = pointer


class MalformedAnswerError(MalformedMessageError):
    """A wallet's answer proves nothing: it is not of its form."""


class MalformedRequestError(MalformedMessageError):
    """A wallet is asked for something that is not of its form: 422."""


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    def to_json(self) -> bytes:
        """Return the body that says this, UTF-8."""
        return self.model_dump_json().encode()


class _Request(_Message):
    model_config = ConfigDict(extra="forbid")


class TransferOrder(_Request):
    """The body of ``PUT /v1/transfers/{id}``, with the id: one idempotent movement at one wallet.

    ``amount`` is positive and at its currency's scale. A debit is ``hold`` or ``direct``; a credit is always ``direct``.
    """

    transfer_id: StepId = Field(exclude=True)
    op: Op
    mode: Mode
    wallet_id: Ref
    owner_ref: Ref
    amount: Amount
    currency: Currency
    not_after: Time
    reference: Annotated[str, Field(max_length=256)] | None = None

    @model_validator(mode="after")
    def _can_be_moved(self) -> Self:
        if self.amount <= 0:
            raise ValueError("an amount that moves is more than zero")
        object.__setattr__(self, "amount", at_scale(self.amount, scale_of(self.currency)))
        return self

    def to_json(self) -> bytes:
        """Return the body; the same bytes each time for the same order."""
        return self.model_dump_json(exclude_none=True).encode()


class StepError(_Message):
    """Why a step was refused."""

    code: RejectionCode
    detail: str = ""


class TransferAnswer(_Message):
    """What a wallet knows of one step. A tombstone (cancelled before it was ever seen) has no op, amount and currency.

    A rejection always has its ``error``, with a code of the protocol: one that is not listed proves nothing, since a wallet may
    mean by it that it did the step before.
    """

    transfer_id: str = Field(min_length=1, max_length=256)
    state: State
    op: Op | None
    amount: Amount | None
    currency: Currency | None
    wallet_txn_id: Annotated[str, Field(max_length=256)] | None = None
    balance_after: Amount | None = None
    hold_expires_at: Time | None = None
    error: StepError | None = None
    seq: Seq

    @property
    def is_tombstone(self) -> bool:
        """Tell whether the wallet was told to cancel before it ever saw the order."""
        return self.op is None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        echoed = (self.op is not None, self.amount is not None, self.currency is not None)
        if any(echoed) and not all(echoed):
            raise ValueError("op, amount and currency are all there, or all null")
        if not all(echoed) and self.state != "cancelled":
            raise ValueError("only a cancelled transfer can be without op, amount and currency")
        if self.state == "rejected" and self.error is None:
            raise ValueError("a rejection says why")
        if self.state in {"held", "committed"} and self.error is not None:
            raise ValueError("a transfer that is held or committed has no error")
        if self.currency is not None:
            scale = scale_of(self.currency)
            for name in ("amount", "balance_after"):
                if (amount := getattr(self, name)) is not None:
                    object.__setattr__(self, name, at_scale(amount, scale))
        return self


class WalletBalance(_Message):
    """``ledger`` is what the wallet owes its owner; ``held`` of it is promised, ``available`` is not.

    The currency need not be one of ISO 4217 to be shown; where it is, the scale is its own.
    """

    wallet_id: Ref
    owner_ref: Ref
    currency: CurrencyCode
    scale: Annotated[int, Field(ge=0, le=8)]
    ledger: Amount
    available: Amount
    held: Amount
    as_of: Time
    version: Seq

    @model_validator(mode="after")
    def _at_its_scale(self) -> Self:
        try:
            known = scale_of(self.currency)
        except MoneyError:
            known = self.scale
        if known != self.scale:
            raise ValueError(f"{self.currency} has {known} decimals")
        for name in ("ledger", "available", "held"):
            object.__setattr__(self, name, at_scale(getattr(self, name), self.scale))
        return self


class BalancePage(_Message):
    """The answer of ``POST /v1/balances:query``."""

    data: Annotated[list[WalletBalance], Field(max_length=PAGE_ITEMS_MAX)]
    next_cursor: Annotated[str, Field(min_length=1, max_length=1024)] | None


class BalanceQuery(_Request):
    """The body of ``POST /v1/balances:query``; no owner means every owner."""

    owner_refs: Annotated[list[Ref], Field(max_length=OWNER_REFS_MAX)]
    currency: CurrencyCode | None = None
    cursor: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    limit: Annotated[int, Field(ge=1, le=PAGE_ITEMS_MAX)] = 50

    def to_json(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()


class FeedPage(_Message):
    """The answer of ``GET /v1/transfers``: changes of state after a ``seq``, and the newest ``seq`` there is."""

    data: Annotated[list[TransferAnswer], Field(max_length=PAGE_ITEMS_MAX)]
    latest_seq: Seq


class CurrencyScale(_Message):
    """A currency that a wallet system keeps."""

    code: CurrencyCode
    scale: Annotated[int, Field(ge=0, le=8)]


class PublicKey(_Message):
    """A key under which a wallet signs its answers: ``public_key`` is 32 bytes in padded base64."""

    keyid: Ref
    alg: Literal["ed25519"]
    public_key: Annotated[str, Field(max_length=64)]


class WellKnown(_Message):
    """What a wallet system can do; ``versions`` holds "ewp/1"."""

    versions: Annotated[list[str], Field(max_length=32)]
    currencies: Annotated[list[CurrencyScale], Field(max_length=1000)]
    holds: bool
    holds_expire: bool = False
    retention_days: Annotated[int, Field(ge=0)]
    public_keys: Annotated[list[PublicKey], Field(max_length=32)] = []
    feed: bool
    system_id: Ref | None = None
    """Names the system behind the API key that asks, so that one registered twice is noticed; the same for ever."""


_Some = TypeVar("_Some", bound=BaseModel)


def parse_transfer_answer(body: bytes) -> TransferAnswer:
    """Read what a wallet says of a step; raises MalformedAnswerError."""
    return _parse(TransferAnswer, body, MalformedAnswerError)


def parse_balance(body: bytes) -> WalletBalance:
    """Read one wallet's balance; raises MalformedAnswerError."""
    return _parse(WalletBalance, body, MalformedAnswerError)


def parse_balance_page(body: bytes) -> BalancePage:
    """Read a page of balances; raises MalformedAnswerError."""
    return _parse(BalancePage, body, MalformedAnswerError)


def parse_feed_page(body: bytes) -> FeedPage:
    """Read a page of the feed; raises MalformedAnswerError."""
    return _parse(FeedPage, body, MalformedAnswerError)


def parse_well_known(body: bytes) -> WellKnown:
    """Read a wallet system's own description; raises MalformedAnswerError, also for one that does not speak ``ewp/1``."""
    document = _parse(WellKnown, body, MalformedAnswerError)
    # Not a bound of the field: what was kept before there was one is still read.
    if document.retention_days > RETENTION_DAYS_MAX:
        raise MalformedAnswerError(f"is {RETENTION_DAYS_MAX} at most", pointer="/retention_days")
    if VERSION not in document.versions:
        raise MalformedAnswerError(f"{VERSION} is not among the versions", pointer="/versions")
    return document


def parse_order(transfer_id: str, body: bytes) -> TransferOrder:
    """Read the PUT body of a transfer; raises MalformedRequestError."""
    return _parse(TransferOrder, body, MalformedRequestError, transfer_id=transfer_id)


def parse_balance_query(body: bytes) -> BalanceQuery:
    """Read the body of a query of balances; raises MalformedRequestError."""
    return _parse(BalanceQuery, body, MalformedRequestError)


def _parse(model: type[_Some], body: bytes, error: type[MalformedMessageError], **given: str) -> _Some:
    try:
        fields: Any = strict_json.loads(body)
    except strict_json.MalformedJsonError as malformed:
        raise error(malformed.detail, pointer=malformed.pointer) from malformed
    if not isinstance(fields, dict):
        raise error("is not a JSON object")
    if clash := given.keys() & fields.keys():
        raise error("is said by the path", pointer=strict_json.pointer_of((min(clash),)))
    try:
        return model.model_validate({**fields, **given})
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
        raise error(first["msg"].removeprefix("Value error, "), pointer=strict_json.pointer_of(first["loc"])) from None
