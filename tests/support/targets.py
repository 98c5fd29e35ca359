"""Webhooks as a worker holds them, for tests of its picture of them."""

from datetime import datetime
from uuid import UUID

from shared.webhook_signatures import SigningSecret
from webhook_dispatcher.deliveries.target import Target
from webhook_dispatcher.deliveries.wire_formats import SigningConfig


def target(
    webhook_id: UUID, *, max_in_flight: int = 5, rate_per_second: int | None = None, enabled_at: datetime | None = None
) -> Target:
    """Return a webhook's configuration."""
    return Target(
        id=webhook_id,
        revision=1,
        name="w",
        url="https://example.com/",
        wire_format="standard",
        signing=SigningConfig(wire_format="standard", secrets=[SigningSecret.generate()]),
        headers={},
        retry_delays_seconds=[5],
        timeout_seconds=15,
        max_in_flight=max_in_flight,
        rate_per_second=rate_per_second,
        enabled_at=enabled_at,
        valid_until=float("inf"),
    )
