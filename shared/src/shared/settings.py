"""Settings from the environment, prefix ``CAUSEWAY_``; any of them may come from a file named by ``<NAME>_FILE``.

Used by every service, which adds its own in its ``settings.py``.
"""

import os
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "CAUSEWAY_"

Network = IPv4Network | IPv6Network


def _networks(value: object) -> object:
    if isinstance(value, str):
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    return value


def _asyncpg_url(value: str) -> str:
    """Accept the plain URL that other tools use as well."""
    for scheme in ("postgresql://", "postgres://"):
        if value.startswith(scheme):
            return "postgresql+asyncpg://" + value.removeprefix(scheme)
    return value


Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
DatabaseUrl = Annotated[str, AfterValidator(_asyncpg_url)]


class ServiceSettings(BaseSettings):
    """What each service needs. Secrets are SecretStr: their repr never shows them."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    database_url: DatabaseUrl
    queue_url: str
    database_pool_size: int = 10

    credentials_url: str = "http://127.0.0.1:8001"
    dispatcher_url: str = "http://127.0.0.1:8002"
    gateway_url: str = "http://127.0.0.1:8003"

    issuer_url: str = ""
    """Whom access tokens name as their issuer, the same for every service; by default ``credentials_url``."""

    access_grace_seconds: float = Field(default=30.0, ge=0, le=3600)
    """How long reading may go on with answers of credentials that were good, while it does not answer; 0 = not at all."""

    rate_limit_per_minute: int = Field(default=60_000, ge=0, le=100_000_000)
    """Requests of one credential a minute, in each process; 0 = no limit. What siblings ask credentials does not count."""
    guesses_per_minute: int = Field(default=60, ge=0, le=1_000_000)
    """Failed credentials from one address a minute, in each process, before 429 instead of 401; 0 = no limit."""

    trusted_proxies: Networks = ()
    egress_allow_cidrs: Networks = ()

    sealing_keys: SecretStr = SecretStr("")
    """``<id>:<base64 of 32 bytes>``, comma-separated; the first seals, all open."""

    metrics_port: int | None = None
    """Where a worker, which has no API, offers its metrics to Prometheus; unset means nowhere."""
    metrics_host: str = "127.0.0.1"
    heartbeat_file: Path | None = None
    """Touched by a worker while its event loop turns; see shared.heartbeat."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @property
    def issuer(self) -> str:
        """Return the issuer of access tokens: the URL below which its metadata is found."""
        return (self.issuer_url or self.credentials_url).rstrip("/")

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # pydantic passes the others by name; none of them is wanted
        cls, _settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **_others: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what ``load`` has read, and nothing else: no second look at the environment behind its back."""
        return (init_settings,)

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the environment; raises pydantic.ValidationError naming each missing or malformed variable."""
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for name in cls.model_fields:
            variable = PREFIX + name.upper()
            path = environment.get(f"{variable}_FILE")
            if path is not None:
                values[name] = Path(path).read_text(encoding="utf-8").strip()
            elif environment.get(variable):
                values[name] = environment[variable]
        return cls(**values)

    @classmethod
    def for_documentation(cls) -> Self:
        """Return settings with which an application can be made and described, but not started."""
        return cls(database_url="postgresql://documentation", queue_url="redis://documentation")
