"""The lanes' limits out of the settings."""

from collections.abc import Mapping
from typing import Final

from wallet_gateway.isolation.gate import Lane, LaneLimits
from wallet_gateway.settings import Settings

_RESOLVES_IN_FLIGHT: Final = 8
_WAITING: Final[Mapping[Lane, int]] = {"read": 64, "write": 256, "resolve": 64}
_SHARES: Final[Mapping[Lane, float]] = {"read": 0.5, "write": 0.35, "resolve": 0.05}
"""Of all connections. A test of a connection makes three calls with one place of ``resolve``."""


def lane_limits(settings: Settings) -> Mapping[Lane, LaneLimits]:
    """Return what one wallet, one tenant and all may be asked through each lane by one process."""
    of_wallet: Mapping[Lane, tuple[int, int]] = {
        "read": (settings.wallet_reads_in_flight, settings.wallet_reads_per_second),
        "write": (settings.wallet_writes_in_flight, settings.wallet_writes_per_second),
        "resolve": (_RESOLVES_IN_FLIGHT, settings.wallet_resolves_per_second),
    }
    limits: dict[Lane, LaneLimits] = {}
    for lane, (in_flight_max, per_second) in of_wallet.items():
        of_all = max(1, int(settings.wallet_connections * _SHARES[lane]))
        limits[lane] = LaneLimits(
            in_flight_max=in_flight_max,
            waiting_max=_WAITING[lane],
            per_second=per_second,
            # No more than half of them, whatever is set: there is always room for somebody else.
            tenant_in_flight_max=max(1, min(settings.tenant_calls_in_flight, of_all // 2)),
            all_in_flight_max=of_all,
        )
    return limits
