"""Wire shapes of webhooks (``/v1/webhooks``)."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StrictBool, StrictInt, field_validator

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
    without_controls,
)
from webhook_dispatcher.deliveries.retry_policy import DEFAULT_DELAYS_SECONDS, DELAY_COUNT_MAX, TOTAL_SECONDS_MAX
from webhook_dispatcher.webhooks import selectors

WebhookId = Annotated[UUID, TypeId("wh")]
WebhookIdInPath = Annotated[UUID, IdInPath("wh")]

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,2046}[\x21-\x7e])?", re.ASCII)
_OUR_HEADERS = frozenset(
    {"host", "content-length", "content-type", "user-agent", "accept-encoding", "connection", "transfer-encoding"}
    | {"te", "trailer", "upgrade", "expect", "keep-alive", "proxy-authorization", "proxy-connection", "cookie"}
    | {"webhook-id", "webhook-timestamp", "webhook-signature", "webhook-test", "x-crm-signature", "x-signature"}
)
HEADERS_MAX = 20
EVENTS_MAX = 100


def _selectors(value: list[str]) -> list[str]:
    for selector in value:
        if not selectors.is_well_formed(selector):
            raise ValueError(f"{selector[:64]!r} is not a type name or a prefix that ends in .*")
        if not selectors.matches_known_type(selector):
            raise ValueError(f"{selector!r} matches no event type")
    return list(dict.fromkeys(value))


def _headers(value: dict[str, str]) -> dict[str, str]:
    if len({name.lower() for name in value}) != len(value):
        raise ValueError("a header stands twice, in different letter case")
    for name, content in value.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(content):
            raise ValueError(f"{name[:64]!r} is not a header of printable ASCII characters")
        if name.lower() in _OUR_HEADERS:
            raise ValueError(f"{name!r} is set by us and cannot be overridden")
    return value


def _delays(value: list[int]) -> list[int]:
    if sum(value) > TOTAL_SECONDS_MAX:
        raise ValueError(f"the delays add up to more than {TOTAL_SECONDS_MAX} s (30 days)")
    return value


def _signature_header(value: str | None) -> str | None:
    if value is not None:
        if not _HEADER_NAME.fullmatch(value):
            raise ValueError("not a header name")
        if value.lower() in _OUR_HEADERS - {"x-crm-signature", "x-signature"}:
            raise ValueError(f"{value!r} is set by us")
    return value


Url = Annotated[str, Field(min_length=1, max_length=2048)]
Events = Annotated[list[str], Field(min_length=1, max_length=EVENTS_MAX), AfterValidator(_selectors)]
Headers = Annotated[dict[str, str], Field(max_length=HEADERS_MAX), AfterValidator(_headers)]
Delays = Annotated[
    list[Annotated[StrictInt, Field(ge=1, le=TOTAL_SECONDS_MAX)]],
    Field(min_length=0, max_length=DELAY_COUNT_MAX),
    AfterValidator(_delays),
]
TimeoutSeconds = Annotated[StrictInt, Field(ge=1, le=30)]
MaxInFlight = Annotated[StrictInt, Field(ge=1, le=200)]
RatePerSecond = Annotated[StrictInt, Field(ge=1, le=10_000)]
Description = Annotated[str, Field(max_length=1024), AfterValidator(without_controls)]
Secret = Annotated[SecretStr, Field(min_length=16, max_length=128)]
SignatureHeader = Annotated[str | None, AfterValidator(_signature_header)]

Trigger = Literal["first", "every"]
Format = Literal["standard", "crm", "timestamped"]
CrmSignature = Literal["hex", "prefixed"]


class WebhookIn(StrictBody):
    """The body of ``POST /v1/webhooks``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Payout processor",
                    "url": "https://payouts.example.com/causeway",
                    "events": ["withdrawal.approved.node.2", "withdrawal.rejected"],
                }
            ]
        }
    )

    name: Name
    url: Url
    events: Events
    secret: Secret | None = Field(default=None, description="An own secret; generated when absent.")
    trigger: Trigger = "first"
    format: Format = "standard"
    crm_signature: CrmSignature = "hex"
    signature_header: SignatureHeader = None
    enabled: StrictBool = True
    headers: Headers = Field(default_factory=dict)
    retry_delays_seconds: Delays = Field(default_factory=lambda: list(DEFAULT_DELAYS_SECONDS))
    timeout_seconds: TimeoutSeconds | None = Field(default=None, description="15 by default; 10 for format crm.")
    max_in_flight: MaxInFlight = 20
    rate_per_second: RatePerSecond | None = None
    ordered: Literal[False] = Field(default=False, description="Ordering per subject is not offered yet.")
    description: Description | None = None
    metadata: Metadata = Field(default_factory=dict)


_NEVER_NULL = (
    *("name", "url", "events", "trigger", "crm_signature", "headers", "retry_delays_seconds", "timeout_seconds"),
    *("max_in_flight", "metadata"),
)


class WebhookPatch(StrictBody):
    """The body of ``PATCH /v1/webhooks/{id}``: the fields to change. ``format`` is fixed at creation.

    Absent is not null: None stands for a field that was not sent, and only those that may be empty can be set to null.
    """

    model_config = ConfigDict(json_schema_extra=document_never_null(_NEVER_NULL))

    name: Name | None = None
    url: Url | None = None
    events: Events | None = None
    trigger: Trigger | None = None
    crm_signature: CrmSignature | None = None
    signature_header: SignatureHeader = None
    headers: Headers | None = None
    retry_delays_seconds: Delays | None = None
    timeout_seconds: TimeoutSeconds | None = None
    max_in_flight: MaxInFlight | None = None
    rate_per_second: RatePerSecond | None = None
    description: Description | None = None
    metadata: Metadata | None = None

    _not_null = field_validator(*_NEVER_NULL, mode="before")(not_null)


class WebhookOut(BaseModel):
    """A webhook as it is shown. Header values that look like credentials are masked."""

    id: WebhookId
    name: str
    url: str
    events: list[str]
    trigger: Trigger
    format: Format
    crm_signature: CrmSignature
    signature_header: str | None
    enabled: bool
    disabled_reason: str | None
    disabled_at: datetime | None
    headers: dict[str, str]
    retry_delays_seconds: list[int]
    timeout_seconds: int
    max_in_flight: int
    rate_per_second: int | None
    ordered: bool
    description: str | None
    metadata: dict[str, Any]
    environment: Literal["live", "test"]
    created_at: datetime
    created_by: str
    updated_at: datetime


class WebhookCreated(WebhookOut):
    """A new webhook with its secret, which `secret/reveal` shows again."""

    secret: ShownSecret = ""


class WebhookListQuery(PageQuery):
    """Filters of the list."""

    enabled: bool | None = None
    q: Annotated[str | None, Field(max_length=128, description="Part of the name or URL.")] = None


class EnableIn(StrictBody):
    """What becomes of the held deliveries: sent in order, or cancelled."""

    pending: Literal["deliver", "skip"] = "deliver"


class RotateIn(StrictBody):
    """A new secret; the old one signs beside it for the overlap."""

    secret: Secret | None = None
    overlap_seconds: OverlapSeconds = OVERLAP_SECONDS_DEFAULT


class SecretOut(BaseModel):
    """The secret, and until when the one before it still signs."""

    secret: ShownSecret = ""
    created_at: datetime
    previous_expires_at: datetime | None = None


class TestIn(StrictBody):
    """Which type's example to send."""

    event_type: Annotated[str, Field(max_length=128)]


class TestOut(BaseModel):
    """The event and delivery that were made; both appear in the history."""

    event_id: str
    delivery_id: Annotated[UUID, TypeId("dlv")]
