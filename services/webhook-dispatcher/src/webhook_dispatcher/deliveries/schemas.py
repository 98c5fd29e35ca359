"""Wire shapes of deliveries, attempts and the ledger."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.pagination import FilterTime, PageQuery
from shared.typeids import IdInPath, TypeId
from webhook_dispatcher import examples
from webhook_dispatcher.deliveries.repository import Status
from webhook_dispatcher.examples import shown

DeliveryId = Annotated[UUID, TypeId("dlv")]
DeliveryIdInPath = Annotated[UUID, IdInPath("dlv")]
AttemptId = Annotated[UUID, TypeId("att")]
WebhookId = Annotated[UUID, TypeId("wh")]


class DeliveryOut(BaseModel):
    """One event owed to one webhook. ``held``: pending while its webhook is disabled or its breaker is open."""

    model_config = ConfigDict(json_schema_extra=shown(examples.DELIVERY))

    id: DeliveryId
    webhook_id: WebhookId
    event_id: str
    event_type: str
    subject: str | None
    status: Status
    attempts: Annotated[int, Field(description="How many requests were made.")]
    next_attempt_at: datetime | None
    finished_at: datetime | None
    last_response_status: int | None
    last_error_code: str | None
    environment: Literal["live", "test"]
    test: bool
    created_at: datetime


class RequestOut(BaseModel):
    """What was sent. Values of the webhook's own headers are masked."""

    url: str
    headers: list[tuple[str, str]]
    body: str


class ResponseOut(BaseModel):
    """What came back: at most 16 KiB of the body, as text."""

    status: int
    headers: list[tuple[str, str]]
    body: str
    truncated: bool


class AttemptOut(BaseModel):
    """One HTTP request made for a delivery. ``unknown``: the worker ended before it saw the answer."""

    id: AttemptId
    number: int
    started_at: datetime
    duration_ms: float | None
    outcome: Literal["delivered", "failed", "unknown"]
    error_code: str | None
    request: RequestOut | None
    response: ResponseOut | None


class DeliveryWithAttemptsOut(DeliveryOut):
    """A delivery with every attempt, oldest first."""

    model_config = ConfigDict(json_schema_extra=shown(examples.DELIVERY_WITH_ATTEMPTS))

    attempt_log: list[AttemptOut]


class DeliveryListQuery(PageQuery):
    """Filters of the list."""

    webhook_id: WebhookId | None = None
    status: Status | None = None
    event_type: Annotated[str | None, Field(max_length=128)] = None
    event_id: Annotated[str | None, Field(max_length=128)] = None
    subject: Annotated[str | None, Field(max_length=256)] = None
    from_: Annotated[FilterTime | None, Field(alias="from")] = None
    to: FilterTime | None = None
    q: Annotated[
        str | None,
        Field(
            max_length=128,
            description="A complete delivery or event id, which finds just that; or part of an event id, type, subject, error"
            " or answer.",
        ),
    ] = None


class LedgerQuery(BaseModel):
    """What to count: all of the realm, one webhook, a span of time."""

    model_config = {"extra": "forbid"}

    webhook_id: WebhookId | None = None
    from_: Annotated[FilterTime | None, Field(alias="from")] = None
    to: FilterTime | None = None


class LedgerOut(BaseModel):
    """The conservation counts: ``matched = delivered + pending + held + failed + cancelled``, always.

    ``accepted`` events owe ``matched`` deliveries. ``pending`` includes those ``in_flight`` just now.
    """

    model_config = ConfigDict(json_schema_extra=shown(examples.LEDGER))

    accepted: int
    matched: int
    delivered: int
    pending: int
    held: int
    failed: int
    cancelled: int
    in_flight: int
    balanced: bool
