"""Brings the whole stack up in order, and takes it down in order."""

import asyncio
import secrets
import sys
import time
from collections.abc import Mapping

import httpx2

from embedded.databases import database_url, ensure_databases, plain_url
from embedded.demo_tenant import TENANT_NAME, Tenancy, ensure_tenancy
from embedded.environments import Environments
from embedded.errors import ProcessEndedError
from embedded.one_shot import run_to_end
from embedded.plan import CREDENTIALS, PARTS, Service, StackPlan
from embedded.ports import LOOPBACK
from embedded.postgres import EmbeddedPostgres
from embedded.private_file import KeptValues
from embedded.service_process import ServiceProcess
from embedded.stack_file import StackFile
from embedded.supervisor import StopOrder, Supervisor
from embedded.terminal import Terminal
from embedded.valkey import EmbeddedValkey

READY_WITHIN_SECONDS = 90.0
GRACEFUL_SHUTDOWN_SECONDS = 5
#: Per API process; whoever comes beyond it is told 503 at once.
CONNECTIONS_MAX = 1000
_READY_POLL_SECONDS = 0.1
_HTTP_TIMEOUT_SECONDS = 10.0
_DEATHS_BEFORE_READY_MAX = 3


class Stack:
    """`bring_up()` once, then `take_down()` once, also when bringing up failed half-way."""

    def __init__(self, plan: StackPlan, terminal: Terminal, inherited: Mapping[str, str]) -> None:
        self.plan = plan
        self.kept = KeptValues(plan.data_dir / "secrets.json")
        self.file = StackFile(plan.data_dir)
        self.supervisor = Supervisor(report=terminal.notice, on_change=self._processes_changed)
        self.environments = Environments(plan, self.kept, inherited)
        self.queue_url = ""
        self._terminal = terminal
        self._database_urls: dict[str, str] = {}
        self._processes: dict[str, ServiceProcess] = {}

    async def bring_up(self) -> Tenancy:
        """Start everything and return when all is ready. Raises StackError or EngineError."""
        await self.bring_up_databases()
        await self._start_services()
        tenancy = await self._ensure_tenancy()
        self._publish_file(tenancy)
        return tenancy

    async def bring_up_databases(self) -> None:
        """Start the engines and migrate, without any service."""
        self.file.remove()
        server_url = await self._start_postgres()
        await self._start_queue()
        await self._prepare_databases(server_url)

    async def take_down(self) -> None:
        """Stop every process, services first; no file tells of the stack afterwards."""
        self.file.remove()
        await self.supervisor.stop()

    async def start_process(self, name: str, command: list[str], *, environment: Mapping[str, str]) -> None:
        """Start one more supervised process; its output goes to the terminal under its name."""
        process = ServiceProcess(name, command, environment=environment, on_line=self._terminal.log)
        self._processes[name] = process
        await self.supervisor.start(name, process, stop_order=StopOrder.SERVICES_FIRST)

    async def wait_until_ready(self, url: str, *, watched: str) -> None:
        """Poll a readiness URL; raises ProcessEndedError when the watched process keeps dying or takes too long."""
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        answer = "no answer"
        async with httpx2.AsyncClient(trust_env=False, timeout=_HTTP_TIMEOUT_SECONDS) as client:
            while time.monotonic() < deadline:
                try:
                    response = await client.get(url)
                except httpx2.TransportError:
                    pass
                else:
                    if response.is_success:
                        return
                    answer = f"{response.status_code} {response.text[:500]}"
                if self.supervisor.deaths(watched) >= _DEATHS_BEFORE_READY_MAX:
                    last_lines = self._processes[watched].last_lines()
                    raise ProcessEndedError(f"{watched} keeps ending. Its last lines:\n{last_lines}")
                await asyncio.sleep(_READY_POLL_SECONDS)
        raise ProcessEndedError(f"{url} was not ready within {READY_WITHIN_SECONDS:.0f} s: {answer}")

    async def _start_postgres(self) -> str:
        if self.plan.postgres_url:
            self._terminal.done("PostgreSQL", "the one in CAUSEWAY_POSTGRES_URL")
            return plain_url(self.plan.postgres_url)
        started_at = time.monotonic()
        engine = EmbeddedPostgres(self.plan.data_dir / "postgres")
        await self.supervisor.start("postgres", engine, stop_order=StopOrder.ENGINES_LAST)
        self._terminal.done("PostgreSQL", f"{LOOPBACK}:{engine.port}", seconds=time.monotonic() - started_at)
        return engine.url()

    async def _start_queue(self) -> None:
        if self.plan.queue_url:
            self._terminal.done("Valkey", "the server in CAUSEWAY_QUEUE_URL")
            self.queue_url = self.plan.queue_url
            return
        started_at = time.monotonic()
        engine = EmbeddedValkey(self.plan.data_dir / "valkey")
        await self.supervisor.start("valkey", engine, stop_order=StopOrder.ENGINES_LAST)
        self._terminal.done("Valkey", f"{LOOPBACK}:{engine.port}", seconds=time.monotonic() - started_at)
        self.queue_url = engine.url()

    async def _prepare_databases(self, server_url: str) -> None:
        started_at = time.monotonic()
        # On a server that others use too, the names belong to this data folder: its sealing keys open only its rows.
        prefix = ""
        if self.plan.postgres_url:
            prefix = f"causeway_{self.kept.get_or_make('stack_id', lambda: secrets.token_hex(4))}_"
        names = {part.name: prefix + part.database for part in PARTS}
        await ensure_databases(server_url, list(names.values()))
        self._database_urls = {name: database_url(server_url, database) for name, database in names.items()}
        await asyncio.gather(*(self._migrate(part) for part in PARTS))
        await self._bootstrap_credentials()
        self._terminal.done("databases migrated", ", ".join(names), seconds=time.monotonic() - started_at)

    async def _migrate(self, service: Service) -> None:
        command = [sys.executable, "-m", f"{service.package}.migrate"]
        await run_to_end(f"the migration of {service.name}", command, environment=self._environment_of(service))

    async def _bootstrap_credentials(self) -> None:
        # By the environment: every user of the machine can read a process's arguments.
        keys = {
            "CAUSEWAY_PLATFORM_KEY": self.environments.platform_key,
            "CAUSEWAY_SERVICE_KEY": self.environments.service_key,
            "CAUSEWAY_PUBLISHER_KEY": self.environments.gateway_publisher_key,
        }
        await run_to_end(
            "the bootstrap of credentials",
            [sys.executable, "-m", CREDENTIALS.package, "bootstrap"],
            environment=self._environment_of(CREDENTIALS) | keys,
        )

    async def _start_services(self) -> None:
        for service in PARTS:
            environment = self._environment_of(service)
            await self.start_process(f"{service.name}-api-1", self._api_command(service), environment=environment)
            for number in range(1, self.plan.workers.get(service.name, 0) + 1):
                command = [sys.executable, "-m", f"{service.package}.worker"]
                await self.start_process(f"{service.name}-worker-{number}", command, environment=environment)
        for service in PARTS:
            started_at = time.monotonic()
            await self.wait_until_ready(f"{self.plan.url(service)}/readyz", watched=f"{service.name}-api-1")
            detail = f"{self.plan.url(service)}  {_processes(self.plan.workers.get(service.name, 0))}"
            self._terminal.done(service.name, detail, seconds=time.monotonic() - started_at)

    async def _ensure_tenancy(self) -> Tenancy:
        async with httpx2.AsyncClient(
            base_url=self.plan.url(CREDENTIALS), trust_env=False, timeout=_HTTP_TIMEOUT_SECONDS
        ) as client:
            tenancy = await ensure_tenancy(client, platform_key=self.environments.platform_key, kept=self.kept)
        self._terminal.done(f"tenant {TENANT_NAME}", tenancy.tenant_id)
        return tenancy

    def _publish_file(self, tenancy: Tenancy) -> None:
        self.file.publish(
            service_urls={part.name: self.plan.url(part) for part in PARTS},
            database_urls=self._database_urls,
            queue_url=self.queue_url,
            tenant_id=tenancy.tenant_id,
            keys={
                "platform": self.environments.platform_key,
                "owner": tenancy.owner_key,
                "publisher": tenancy.publisher_key,
            },
            wallet_control_token=self.environments.wallet_control_token,
            pids=self.supervisor.pids(),
        )

    def _processes_changed(self) -> None:
        self.file.update_processes(self.supervisor.pids())

    def _environment_of(self, service: Service) -> dict[str, str]:
        return self.environments.of_service(
            service, database_url=self._database_urls[service.name], queue_url=self.queue_url
        )

    def _api_command(self, service: Service) -> list[str]:
        port = self.plan.api_ports[service.name]
        # No access log: each request is one line of the service's own. No proxy headers: whom to believe is decided by
        # CAUSEWAY_TRUSTED_PROXIES alone.
        options = ["--no-access-log", "--no-proxy-headers", "--no-server-header", "--log-level", self.plan.log_level]
        return [
            *(sys.executable, "-m", "uvicorn", "--factory", f"{service.package}.app:create_app"),
            *("--host", LOOPBACK, "--port", str(port), *options),
            *("--limit-concurrency", str(CONNECTIONS_MAX)),
            *("--timeout-graceful-shutdown", str(GRACEFUL_SHUTDOWN_SECONDS)),
        ]


def _processes(workers: int) -> str:
    if workers == 0:
        return "a third party's server, implementing ewp/1"
    return f"API and {workers} worker{'s' if workers > 1 else ''}"
