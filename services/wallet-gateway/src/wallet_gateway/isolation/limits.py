"""The lanes' limits out of the settings."""

from collections.abc import Mapping
from dataclasses import replace

from wallet_gateway.isolation.gate import DEFAULT_LIMITS, Lane, LaneLimits
from wallet_gateway.settings import Settings


def lane_limits(settings: Settings) -> Mapping[Lane, LaneLimits]:
    """Return what one wallet may be asked through each lane by one process."""
    return {
        "read": replace(
            DEFAULT_LIMITS["read"],
            in_flight_max=settings.wallet_reads_in_flight,
            per_second=settings.wallet_reads_per_second,
        ),
        "write": replace(
            DEFAULT_LIMITS["write"],
            in_flight_max=settings.wallet_writes_in_flight,
            per_second=settings.wallet_writes_per_second,
        ),
        "resolve": replace(DEFAULT_LIMITS["resolve"], per_second=settings.wallet_resolves_per_second),
    }
