"""Wire shapes of statistics (``/v1/webhooks/{id}/stats``)."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.typeids import TypeId
from webhook_dispatcher.webhooks.health import Health

WINDOW_PATTERN = r"^(?P<number>[1-9][0-9]{0,6})(?P<unit>[smhd]?)$"
_DOCUMENTED_PATTERN = "^[1-9][0-9]{0,6}[smhd]?$"


class StatsQuery(BaseModel):
    """How far to look back."""

    model_config = ConfigDict(extra="forbid")

    window: Annotated[
        str,
        Field(
            pattern=_DOCUMENTED_PATTERN,
            description="Seconds, or a number with `m`, `h` or `d`.",
            examples=["15m", "24h", "7d"],
        ),
    ] = "24h"


class WindowOut(BaseModel):
    """Which deliveries the figures are of: those made from then on."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    complete: Annotated[
        bool,
        Field(
            description="False: more has ended than is looked at, and `from` is where that begins; counts are of there on."
        ),
    ]


class CountsOut(BaseModel):
    """Deliveries of the window by how they ended, and what waits now, whenever it was made."""

    delivered: int
    failed: int
    cancelled: int
    pending: int
    held: Annotated[int, Field(description="Pending while the webhook is disabled or its breaker is open.")]
    in_flight: int
    waiting_is_minimum: Annotated[bool, Field(description="Counting what waits ended at 10 000; there may be more.")]
    attempts: Annotated[int, Field(description="Requests made for deliveries of the window.")]
    attempts_delivered: int


class LatencyOut(BaseModel):
    """How long attempts took, in milliseconds; null without any."""

    p50: float | None
    p95: float | None
    p99: float | None


class StatsOut(BaseModel):
    """How a webhook does."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "webhook_id": "wh_01j9zq3s8hf3mbq5w7t2k4v6xy",
                    "health": "healthy",
                    "window": {"from": "2026-11-24T16:00:00Z", "to": "2026-11-25T16:00:00Z", "complete": True},
                    "counts": {
                        "delivered": 4821,
                        "failed": 3,
                        "cancelled": 0,
                        "pending": 2,
                        "held": 0,
                        "in_flight": 1,
                        "waiting_is_minimum": False,
                        "attempts": 4840,
                        "attempts_delivered": 4821,
                    },
                    "success_rate": 0.9993781094527363,
                    "latency_ms": {"p50": 48.2, "p95": 120.5, "p99": 311.0},
                    "oldest_pending_at": "2026-11-25T15:59:58Z",
                    "oldest_pending_seconds": 2.0,
                }
            ]
        }
    )

    webhook_id: Annotated[UUID, TypeId("wh")]
    health: Annotated[
        Health,
        Field(
            description="`failing`: attempts fail without a success in between; `open`: so many that deliveries are held and"
            " one at a time is tried."
        ),
    ]
    window: WindowOut
    counts: CountsOut
    success_rate: Annotated[
        float | None, Field(description="Of the deliveries that succeeded or failed for good; null without any.")
    ]
    latency_ms: LatencyOut
    oldest_pending_at: datetime | None
    oldest_pending_seconds: float | None
