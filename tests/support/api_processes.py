"""API processes of credentials as they run in production, started and killed by a test or a benchmark."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from pydantic import SecretStr

from credentials.bootstrap.service import register_given
from credentials.resources import open_resources
from credentials.settings import Settings
from embedded.ports import LOOPBACK, free_port
from shared import key_format

_START_SECONDS = 60
_POLL_SECONDS = 0.05


@dataclass(slots=True)
class ApiProcess:
    """One uvicorn with one port, which it keeps over restarts."""

    environment: dict[str, str]
    log_path: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"http://{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it answers; raises RuntimeError with its log when it ends instead."""
        with self.log_path.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "uvicorn", "--factory", "credentials.app:create_app", "--host", LOOPBACK),
                *("--port", str(self.port), "--no-access-log", "--no-proxy-headers", "--log-level", "warning"),
                *("--timeout-graceful-shutdown", "3"),
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(_START_SECONDS), httpx2.AsyncClient(trust_env=False) as client:
            while True:
                if self.process.returncode is not None:
                    raise RuntimeError(f"the API process ended at its start:\n{self.log_path.read_text()[-4000:]}")
                with contextlib.suppress(httpx2.HTTPError):
                    if (await client.get(f"{self.url}/readyz")).is_success:
                        return
                await asyncio.sleep(_POLL_SECONDS)

    async def kill(self) -> None:
        """End it as a crash does."""
        await self._end(signal.SIGKILL)

    async def send(self, wanted: signal.Signals) -> None:
        """Kill it, or have it hang and go on (SIGSTOP, SIGCONT)."""
        if wanted is signal.SIGKILL:
            await self.kill()
        elif self.process is not None:
            self.process.send_signal(wanted)

    async def stop(self) -> None:
        """End it in order."""
        await self._end(signal.SIGTERM)

    async def _end(self, wanted: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(wanted)
            await self.process.wait()
            self.process = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Several API processes on one database, with the platform's keys."""

    processes: Sequence[ApiProcess]
    settings: Settings
    platform_key: str
    service_key: str
    clients: list[httpx2.AsyncClient] = field(default_factory=list)

    @property
    def platform(self) -> httpx2.AsyncClient:
        """Return a client of the first process with the platform's key."""
        return self.clients[0]

    async def new_tenant(self) -> str:
        """Make a tenant and return its id."""
        answer = await self.platform.post("/v1/tenants", json={"name": "Example Broker"})
        return str(answer.raise_for_status().json()["id"])

    async def new_key(self, tenant_id: str, **fields: object) -> dict[str, str]:
        """Make a key of a tenant and return its id and text."""
        wanted = {"name": "test", "kind": "secret", "environment": "live", "scopes": [], **fields}
        answer = await self.platform.post("/v1/api-keys", json=wanted, headers={"x-tenant-id": tenant_id})
        made: dict[str, str] = answer.raise_for_status().json()
        return made


@asynccontextmanager
async def credentials_processes(settings: Settings, *, count: int, folder: Path) -> AsyncIterator[Credentials]:
    """Run ``count`` API processes with these settings; their keys are registered before they start."""
    platform_key, service_key = key_format.generate("service", "live"), key_format.generate("service", "live")
    async with open_resources(settings, serves=False) as resources:
        await register_given(resources, name="platform", text=SecretStr(platform_key))
        await register_given(resources, name="siblings", text=SecretStr(service_key))
    ports: list[int] = []
    for _ in range(count):
        ports.append(free_port(taken=frozenset(ports)))
    environment = environment_of(settings)
    processes = [
        ApiProcess(environment=environment, log_path=folder / f"credentials-{port}.log", port=port) for port in ports
    ]
    running = Credentials(processes=processes, settings=settings, platform_key=platform_key, service_key=service_key)
    try:
        await asyncio.gather(*(process.start() for process in processes))
        async with httpx2.AsyncClient(
            base_url=processes[0].url, headers={"x-api-key": platform_key}, timeout=30, trust_env=False
        ) as platform:
            running.clients.append(platform)
            yield running
    finally:
        await asyncio.gather(*(process.stop() for process in processes))


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment in which a process loads these settings."""
    values = {
        "DATABASE_URL": settings.database_url,
        "QUEUE_URL": settings.queue_url,
        "PEPPERS": settings.peppers.get_secret_value(),
        "SEALING_KEYS": settings.sealing_keys.get_secret_value(),
        "LOG_LEVEL": settings.log_level,
        "GUESSES_PER_MINUTE": str(settings.guesses_per_minute),
    }
    return {**os.environ, **{f"CAUSEWAY_{name}": value for name, value in values.items()}}
