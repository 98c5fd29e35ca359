"""What the reference wallet is told by its environment."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from shared.ewp.messages import RETENTION_DAYS_MAX
from shared.ewp.money import scale_of
from shared.settings import ServiceSettings


def _codes(value: object) -> object:
    return tuple(code.strip() for code in value.split(",") if code.strip()) if isinstance(value, str) else value


def _known(codes: tuple[str, ...]) -> tuple[str, ...]:
    for code in codes:
        scale_of(code)
    return codes


Currencies = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_codes), AfterValidator(_known)]


class Settings(ServiceSettings):
    """Environment of one wallet server. It uses no queue and knows no other service."""

    queue_url: str = ""

    control_token: SecretStr = SecretStr("")
    """Bearer of the control API (systems, API keys, wallets, faults); without one that API does not exist."""
    wallet_faults: bool = False
    """Whether the control API may switch faults on. Never in front of money."""
    wallet_currencies: Currencies = ("USD", "EUR", "GBP", "CHF", "AUD", "CAD", "JPY", "KRW", "BHD", "KWD", "AED", "ZAR")
    """ISO 4217 codes in which wallets may be opened."""
    wallet_holds: bool = True
    """Whether a wallet system that says nothing else can hold money."""
    wallet_hold_seconds: int | None = Field(default=None, ge=1)
    """After how long a hold ends by itself, in a wallet system that says nothing else; unset: never."""
    wallet_retention_days: int = Field(default=3650, ge=1, le=RETENTION_DAYS_MAX)
    """What the well-known document promises about how long transfers are known; this server forgets none."""
