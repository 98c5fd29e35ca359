"""The well-known document."""

from typing import Any

from reference_wallet.settings import Settings
from reference_wallet.signed_calls.callers import SignedCall
from reference_wallet.systems import repository
from reference_wallet.transfers.rules import Holds
from shared.database import Database
from shared.ewp.messages import VERSION
from shared.ewp.money import scale_of

_PUBLIC_KEYS_MAX = 32


async def described(settings: Settings, database: Database, call: SignedCall | None) -> dict[str, Any]:
    """Return what the caller's wallet system can do; without one, what a system here can do unless it says otherwise."""
    holds = call.holds if call else Holds(allowed=settings.wallet_holds, seconds=settings.wallet_hold_seconds)
    system_id = call.system_id if call else None
    async with database.autocommit() as connection:
        keys = await repository.public_keys(connection, system_id=system_id, limit=_PUBLIC_KEYS_MAX)
    document: dict[str, Any] = {
        "versions": [VERSION],
        "currencies": [{"code": code, "scale": scale_of(code)} for code in settings.wallet_currencies],
        "holds": holds.allowed,
        "holds_expire": holds.allowed and holds.seconds is not None,
        "retention_days": settings.wallet_retention_days,
        "feed": True,
    }
    if system_id is not None:
        document["system_id"] = str(system_id)
    if keys:
        document["public_keys"] = [
            {"keyid": key_id, "alg": "ed25519", "public_key": public_key} for key_id, public_key in keys.items()
        ]
    return document
