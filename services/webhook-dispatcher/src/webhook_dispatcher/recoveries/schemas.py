"""Wire shapes of recoveries."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool
from pydantic.config import JsonDict

from shared.pagination import FilterTime, PageQuery
from shared.typeids import IdInPath, TypeId
from webhook_dispatcher.recoveries.repository import EndedStatus, RecoveryStatus
from webhook_dispatcher.webhooks import selectors

RecoveryId = Annotated[UUID, TypeId("rec")]
RecoveryIdInPath = Annotated[UUID, IdInPath("rec")]
WebhookId = Annotated[UUID, TypeId("wh")]

_WEBHOOK_ID_EXAMPLE = "wh_01j9zq3s8hf3mbq5w7t2k4v6xy"
_SELECTION_EXAMPLE: JsonDict = {
    "from": "2026-11-24T22:00:00Z",
    "to": "2026-11-25T06:00:00Z",
    "status": ["failed"],
    "event_types": ["withdrawal.*"],
}


def _selectors(value: list[str]) -> list[str]:
    for selector in value:
        if not selectors.is_well_formed(selector):
            raise ValueError(f"{selector[:64]!r} is not a type name or a prefix that ends in .*")
    return list(dict.fromkeys(value))


def _unique(value: list[EndedStatus]) -> list[EndedStatus]:
    return list(dict.fromkeys(value))


class RecoverIn(BaseModel):
    """Which ended deliveries to send again. Times are those at which deliveries were made, which is when events came in."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "from": "2026-11-24T22:00:00Z",
                    "to": "2026-11-25T06:00:00Z",
                    "event_types": ["withdrawal.*"],
                    "dry_run": True,
                }
            ]
        },
    )

    from_: Annotated[FilterTime, Field(alias="from")]
    to: Annotated[FilterTime | None, Field(description="Now, when absent.")] = None
    status: Annotated[list[EndedStatus], Field(min_length=1, max_length=3), AfterValidator(_unique)] = Field(
        default=["failed"],
        description="How they ended. What is pending needs no recovery: its retries go on.",
    )
    event_types: Annotated[
        Annotated[list[str], Field(min_length=1, max_length=100), AfterValidator(_selectors)] | None,
        Field(description="Type names or prefixes such as `withdrawal.*`; all when absent."),
    ] = None
    dry_run: Annotated[StrictBool, Field(description="Only count.")] = False


class SelectionOut(BaseModel):
    """What a recovery is about."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [_SELECTION_EXAMPLE]}, validate_by_name=True, serialize_by_alias=True
    )

    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    status: list[EndedStatus]
    event_types: list[str] | None


class RecoveryPreviewOut(BaseModel):
    """What a recovery would send again now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "webhook_id": _WEBHOOK_ID_EXAMPLE,
                    "selection": _SELECTION_EXAMPLE,
                    "matched": 1843,
                    "matched_is_minimum": False,
                    "skipped": 0,
                }
            ]
        }
    )

    webhook_id: WebhookId
    selection: SelectionOut
    matched: Annotated[int, Field(description="How many deliveries would be sent again.")]
    matched_is_minimum: Annotated[bool, Field(description="Counting ended at its limit; there may be more.")]
    skipped: Annotated[int, Field(description="How many match and cannot be sent, since their payload was redacted.")]


class RecoveryOut(BaseModel):
    """A recovery, and how far it came."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "rec_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "webhook_id": _WEBHOOK_ID_EXAMPLE,
                    "status": "running",
                    "reason": None,
                    "selection": _SELECTION_EXAMPLE,
                    "matched": 1843,
                    "matched_is_minimum": False,
                    "resent": 400,
                    "skipped": 0,
                    "environment": "live",
                    "created_at": "2026-11-25T08:00:00Z",
                    "created_by": "key_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "finished_at": None,
                }
            ]
        }
    )

    id: RecoveryId
    webhook_id: WebhookId
    status: Annotated[
        RecoveryStatus,
        Field(description="`pending` until a worker takes it up; recoveries of one webhook run one after the other."),
    ]
    reason: Annotated[
        Literal["webhook_disabled", "breaker_open", "webhook_deleted", "by_request"] | None,
        Field(description="Why it waits, or was cancelled."),
    ]
    selection: SelectionOut
    matched: Annotated[int, Field(description="How many were found when it was asked for; exact once it is complete.")]
    matched_is_minimum: Annotated[bool, Field(description="Counting ended at its limit; there may be more.")]
    resent: Annotated[int, Field(description="How many it has made pending again, with their `webhook-id`.")]
    skipped: Annotated[
        int,
        Field(
            description="How many it passed over: their payload was redacted, or somebody else sent them again meanwhile."
        ),
    ]
    environment: Literal["live", "test"]
    created_at: datetime
    created_by: str
    finished_at: datetime | None


class RecoveryListQuery(PageQuery):
    """Filters of the list."""

    webhook_id: WebhookId | None = None
