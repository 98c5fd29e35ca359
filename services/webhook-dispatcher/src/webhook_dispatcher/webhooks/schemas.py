"""Wire shapes of webhooks (``/v1/webhooks``)."""

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
from webhook_dispatcher import examples
from webhook_dispatcher.deliveries.retry_policy import DEFAULT_DELAYS_SECONDS, DELAY_COUNT_MAX, TOTAL_SECONDS_MAX
from webhook_dispatcher.examples import shown
from webhook_dispatcher.webhooks import selectors
from webhook_dispatcher.webhooks.custom_headers import (
    CUSTOM_HEADERS_MAX,
    check_custom_headers,
    check_signature_header,
)

_OWN_KEY_TEXT = (
    "An own secret; generated when absent. One of the form `whsec_` + base64, as every generated one is, stands for the bytes"
    " whose base64 follows: those, 24 to 64 of them, are the HMAC key. For the formats `crm` and `timestamped` it may instead be"
    " any 16 to 128 printable characters, and the key is their bytes."
)

WebhookId = Annotated[UUID, TypeId("wh")]
WebhookIdInPath = Annotated[UUID, IdInPath("wh")]

EVENTS_MAX = 100


def _selectors(value: list[str]) -> list[str]:
    for selector in value:
        if not selectors.is_well_formed(selector):
            raise ValueError(f"{selector[:64]!r} is not a type name or a prefix that ends in .*")
    return list(dict.fromkeys(value))


def _delays(value: list[int]) -> list[int]:
    if sum(value) > TOTAL_SECONDS_MAX:
        raise ValueError(f"the delays add up to more than {TOTAL_SECONDS_MAX} s (30 days)")
    return value


Url = Annotated[str, Field(min_length=1, max_length=2048)]
Events = Annotated[list[str], Field(min_length=1, max_length=EVENTS_MAX), AfterValidator(_selectors)]
Headers = Annotated[dict[str, str], Field(max_length=CUSTOM_HEADERS_MAX), AfterValidator(check_custom_headers)]
Delays = Annotated[
    list[Annotated[StrictInt, Field(ge=1, le=TOTAL_SECONDS_MAX)]],
    Field(min_length=0, max_length=DELAY_COUNT_MAX),
    AfterValidator(_delays),
]
TimeoutSeconds = Annotated[StrictInt, Field(ge=1, le=30)]
MaxInFlight = Annotated[StrictInt, Field(ge=1, le=200)]
Ordered = Annotated[
    StrictBool,
    Field(
        description="Deliveries of events with the same `ordering_key`, or else the same `subject`, are sent one after the other,"
        " in the order in which their events were accepted; one that is retried holds up those behind it, until it has been"
        " delivered, has failed or was cancelled. Holds for events accepted since it was switched on; a resend stands outside."
    ),
]
RatePerSecond = Annotated[StrictInt, Field(ge=1, le=10_000)]
Description = Annotated[str, Field(max_length=1024), AfterValidator(without_controls)]
Secret = Annotated[SecretStr, Field(min_length=16, max_length=128)]
SignatureHeader = Annotated[str | None, AfterValidator(check_signature_header)]

Trigger = Literal["first", "every"]
Format = Literal["standard", "crm", "timestamped"]
CrmSignature = Literal["hex", "prefixed"]


ED25519 = "Sign with an ed25519 key of its own as well (`v1a`); its public half is shown, the private one never."


class WebhookIn(StrictBody):
    """The body of ``POST /v1/webhooks``."""

    model_config = ConfigDict(json_schema_extra=shown(examples.WEBHOOK_IN))

    name: Name
    url: Url
    events: Events
    secret: Secret | None = Field(default=None, description=_OWN_KEY_TEXT)
    trigger: Trigger = "first"
    format: Format = "standard"
    crm_signature: CrmSignature = "hex"
    signature_header: SignatureHeader = None
    enabled: StrictBool = True
    ed25519: StrictBool = Field(default=False, description=ED25519)
    headers: Headers = Field(default_factory=dict)
    retry_delays_seconds: Delays = Field(default_factory=lambda: list(DEFAULT_DELAYS_SECONDS))
    timeout_seconds: TimeoutSeconds | None = Field(default=None, description="15 by default; 10 for format crm.")
    max_in_flight: MaxInFlight = 20
    rate_per_second: RatePerSecond | None = None
    ordered: Ordered = False
    description: Description | None = None
    metadata: Metadata = Field(default_factory=dict)


_NEVER_NULL = (
    *("name", "url", "events", "trigger", "crm_signature", "headers", "retry_delays_seconds", "timeout_seconds"),
    *("max_in_flight", "ordered", "metadata", "ed25519"),
)


def _document_patch(schema: dict[str, Any]) -> None:
    document_never_null(_NEVER_NULL)(schema)
    schema["examples"] = [{"events": ["withdrawal.*"], "rate_per_second": 50, "description": None}]


class WebhookPatch(StrictBody):
    """The body of ``PATCH /v1/webhooks/{id}``: the fields to change. ``format`` is fixed at creation.

    Absent is not null: None stands for a field that was not sent, and only those that may be empty can be set to null.
    """

    model_config = ConfigDict(json_schema_extra=_document_patch)

    name: Name | None = None
    url: Url | None = None
    events: Events | None = None
    trigger: Trigger | None = None
    crm_signature: CrmSignature | None = None
    signature_header: SignatureHeader = None
    ed25519: StrictBool | None = Field(default=None, description=ED25519)
    headers: Headers | None = None
    retry_delays_seconds: Delays | None = None
    timeout_seconds: TimeoutSeconds | None = None
    max_in_flight: MaxInFlight | None = None
    rate_per_second: RatePerSecond | None = None
    ordered: Ordered | None = None
    description: Description | None = None
    metadata: Metadata | None = None

    _not_null = field_validator(*_NEVER_NULL, mode="before")(not_null)


class PublicKeyOut(BaseModel):
    """What verifies `v1a` signatures: `whpk_` and base64 of the ed25519 public key; `expires_at` where it was replaced."""

    public_key: str
    expires_at: datetime | None


class WebhookOut(BaseModel):
    """A webhook as it is shown. Header values that look like credentials are masked."""

    model_config = ConfigDict(json_schema_extra=shown(examples.WEBHOOK))

    id: WebhookId
    name: str
    url: str
    events: list[str]
    trigger: Trigger
    format: Format
    crm_signature: CrmSignature
    signature_header: str | None
    ed25519: bool
    public_keys: list[PublicKeyOut] = Field(description="Newest first.")
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

    model_config = ConfigDict(json_schema_extra=shown(examples.WEBHOOK_CREATED))

    secret: ShownSecret = ""


class WebhookListQuery(PageQuery):
    """Filters of the list."""

    enabled: bool | None = None
    q: Annotated[str | None, Field(max_length=128, description="Part of the name or URL.")] = None


class EnableIn(StrictBody):
    """What becomes of the held deliveries: sent in order, or cancelled."""

    model_config = ConfigDict(json_schema_extra=shown({"pending": "deliver"}))

    pending: Literal["deliver", "skip"] = "deliver"


class RotateIn(StrictBody):
    """A new secret, and a new ed25519 key where there is one; the old ones sign beside them for the overlap."""

    model_config = ConfigDict(json_schema_extra=shown({"overlap_seconds": 86_400}))

    secret: Secret | None = Field(default=None, description=_OWN_KEY_TEXT)
    overlap_seconds: OverlapSeconds = OVERLAP_SECONDS_DEFAULT


class SecretOut(BaseModel):
    """The secret, and until when the one before it still signs."""

    model_config = ConfigDict(json_schema_extra=shown(examples.SECRET))

    secret: ShownSecret = ""
    created_at: datetime
    previous_expires_at: datetime | None = None
    public_keys: list[PublicKeyOut] = Field(description="Of the ed25519 keys that sign now, newest first.")


class TestIn(StrictBody):
    """Which type's example to send."""

    model_config = ConfigDict(json_schema_extra=shown({"event_type": "withdrawal.approved.node.2"}))

    event_type: Annotated[str, Field(max_length=128)]


class TestOut(BaseModel):
    """The event and delivery that were made; both appear in the history."""

    model_config = ConfigDict(json_schema_extra=shown(examples.TEST_SENT))

    event_id: str
    delivery_id: Annotated[UUID, TypeId("dlv")]
