"""The lanes' limits out of the settings."""

from collections.abc import Mapping
from dataclasses import replace

from wallet_gateway.isolation.gate import DEFAULT_LIMITS, Lane, LaneLimits
from wallet_gateway.settings import Settings

_SHARES: Mapping[Lane, float] = {"read": 0.5, "write": 0.35, "resolve": 0.05}
"""Of all connections. A test of a connection makes three calls with one place of ``resolve``."""


def lane_limits(settings: Settings) -> Mapping[Lane, LaneLimits]:
    """Return what one wallet, one tenant and all may be asked through each lane by one process."""
    wallets: Mapping[Lane, dict[str, int]] = {
        "read": {
            "in_flight_max": settings.wallet_reads_in_flight,
            "per_second": settings.wallet_reads_per_second,
        },
        "write": {
            "in_flight_max": settings.wallet_writes_in_flight,
            "per_second": settings.wallet_writes_per_second,
        },
        "resolve": {"per_second": settings.wallet_resolves_per_second},
    }
    return {lane: replace(DEFAULT_LIMITS[lane], **wallets[lane], **_together(settings, lane)) for lane in wallets}


def _together(settings: Settings, lane: Lane) -> dict[str, int]:
    of_all = max(1, int(settings.wallet_connections * _SHARES[lane]))
    # No more than half of them, whatever is set: there is always room for somebody else.
    of_tenant = max(1, min(settings.tenant_calls_in_flight, of_all // 2))
    return {"all_in_flight_max": of_all, "tenant_in_flight_max": of_tenant}
