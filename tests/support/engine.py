"""The dispatcher for tests of its engine: API through memory, engines in this process or as workers of their own.

Databases, Valkey and requests are real; only the question to credentials is answered here, with one tenant's principal.
"""

import asyncio
import base64
import dataclasses
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis.asyncio import Redis

from shared import typeids
from shared.access import Principal
from shared.scopes import TENANT_SCOPES
from support.apps import in_memory
from support.receiver import Hook, Receiver, running_receiver
from webhook_dispatcher.app import create_app
from webhook_dispatcher.lanes.engine import Engine
from webhook_dispatcher.resources import open_worker_resources
from webhook_dispatcher.settings import Settings

# How long something may take on a machine that is busy with other things, too; nothing is proved by it.
WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.01
_POLL_SECONDS_MAX = 0.1
_LOOPBACK = ip_network("127.0.0.0/8")


def engine_settings(database_url: str, queue_url: str, **fields: Any) -> Settings:
    """Return settings under which everything that waits, waits shortly."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return Settings(
        **{
            "database_url": database_url,
            "queue_url": queue_url,
            "sealing_keys": SecretStr(f"k1:{key}"),
            "egress_allow_cidrs": (_LOOPBACK,),
            "log_level": "error",
            "lease_seconds": 2.0,
            "stream_claim_idle_seconds": 0.5,
            **fields,
        }
    )


@dataclass(frozen=True, slots=True)
class _OneTenant:
    """A Verifier that takes every credential for the same one."""

    principal: Principal

    async def verify(self, _credential: str, **_asked: Any) -> Principal:
        return self.principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """One dispatcher: its API, its stores and its tenant. Engines are started by the tests."""

    settings: Settings
    tenant_id: str
    api: httpx2.AsyncClient
    database: asyncpg.Pool
    queue: Redis
    receiver: Receiver

    async def new_hook(self, **fields: Any) -> Hook:
        """Register a webhook to a new URL of the receiver; ``fields`` are those of ``POST /v1/webhooks``."""
        hook = self.receiver.hook(secrets.token_hex(6))
        body = {"name": "test", "url": hook.url, "events": ["withdrawal.*"], "trigger": "every", **fields}
        made = await self.call("POST", "/v1/webhooks", body, status=201)
        hook.webhook_id = made["id"]
        hook.secrets.append(made["secret"])
        return hook

    async def call(self, method: str, path: str, body: Any = None, *, status: int = 200) -> dict[str, Any]:
        """Call the API and return its answer, which must have the status."""
        answer = await self.api.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def publish(self, *events: dict[str, Any]) -> list[str]:
        """Publish over HTTP; returns the ids."""
        answer = await self.call("POST", "/v1/events", {"events": list(events)}, status=202)
        ids: list[str] = answer["ids"]
        return ids

    async def add(self, entry: dict[str, Any] | bytes, *, entry_id: str = "*") -> bytes:
        """Add an event to the stream, as the tenant's own unless it says otherwise; bytes go as they are."""
        text = entry if isinstance(entry, bytes) else json.dumps({"tenant_id": self.tenant_id, **entry})
        added: bytes = await self.queue.xadd(self.settings.stream, {"event": text}, id=entry_id)
        return added

    async def deliveries(self, **filters: str) -> list[dict[str, Any]]:
        """Return the deliveries as the API lists them, newest first."""
        answer = await self.api.get("/v1/deliveries", params={"limit": "200", **filters})
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()["data"]
        return rows

    async def delivery(self, event_id: str) -> dict[str, Any]:
        """Return the one delivery of an event, with its attempts."""
        [found] = (await self.call("GET", f"/v1/events/{event_id}"))["deliveries"]
        return await self.call("GET", f"/v1/deliveries/{found['id']}")

    async def until_status(self, event_id: str, status: str) -> dict[str, Any]:
        """Wait until an event's one delivery has a status; returns it with its attempts."""
        await until(lambda: self._has_status(event_id, status), what=f"{event_id} {status}")
        return await self.delivery(event_id)

    async def _has_status(self, event_id: str, status: str) -> bool:
        return bool((await self.delivery(event_id))["status"] == status)

    async def until_settled(self, *, events: int, seconds: float = WAIT_SECONDS) -> None:
        """Wait until that many events are accepted, reports on webhooks not counted, and nothing is outstanding."""
        statement = (
            "SELECT (SELECT count(*) FROM events WHERE NOT starts_with(type, 'webhook.')) = $1"
            " AND NOT EXISTS (SELECT 1 FROM deliveries)"
        )
        await until(
            lambda: self.database.fetchval(statement, events), seconds=seconds, what=f"{events} events are settled"
        )

    async def ledger(self) -> dict[str, Any]:
        """Return the ledger, which must balance."""
        counts = await self.call("GET", "/v1/ledger")
        assert counts["balanced"], counts
        return counts

    async def lanes(self) -> dict[UUID, int]:
        """Return how many lanes each worker owns now."""
        rows = await self.database.fetch(
            "SELECT owner, count(*) AS lanes FROM lanes WHERE owner IS NOT NULL AND expires_at > now() GROUP BY owner"
        )
        return {row["owner"]: row["lanes"] for row in rows}


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    """Return an event of a request of its own."""
    return {
        "type": "withdrawal.approved.node.1",
        "subject": f"request-{number}",
        "data": {"number": number, "amount": "10.50"},
        **fields,
    }


async def until(condition: Callable[[], Awaitable[Any]], *, what: str, seconds: float = WAIT_SECONDS) -> None:
    """Wait for something that another part does; raises TimeoutError saying what.

    What takes long is looked at less often: looking costs what it waits for the processor.
    """
    began = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                waited = time.monotonic() - began
                await asyncio.sleep(min(_POLL_SECONDS_MAX, max(_POLL_SECONDS, waited / 10)))
    except TimeoutError:
        raise TimeoutError(f"not within {seconds} s: {what}") from None


@asynccontextmanager
async def running_dispatcher(settings: Settings) -> AsyncIterator[Dispatcher]:
    """Start the API over a migrated database, and a receiver."""
    tenant = typeids.new_id()
    principal = Principal(
        credential_id="key_test",
        kind="secret",
        name="test",
        tenant_id=tenant,
        environment="live",
        scopes=frozenset(TENANT_SCOPES),
    )
    app = create_app(settings)
    key = {"authorization": "Bearer some.access.token"}
    async with (
        in_memory(app, headers=key) as api,
        running_receiver() as receiver,
        asyncpg.create_pool(plain(settings.database_url), min_size=1, max_size=4) as database,
        Redis.from_url(settings.queue_url) as queue,
    ):
        app.state.resources = dataclasses.replace(app.state.resources, access=_OneTenant(principal))
        yield Dispatcher(
            settings=settings,
            tenant_id=typeids.encode("ten", tenant),
            api=api,
            database=database,
            queue=queue,
            receiver=receiver,
        )


@asynccontextmanager
async def running_engine(settings: Settings, *, name: str = "engine") -> AsyncIterator[Engine]:
    """Run an engine in this process; stop it in order when the block ends, and fail if it ended by itself."""
    async with open_worker_resources(settings, CollectorRegistry()) as opened:
        engine = Engine(dataclasses.replace(opened, worker_name=f"{name}-{secrets.token_hex(3)}"))
        running = asyncio.create_task(engine.run())
        try:
            yield engine
            assert not running.done(), running.exception()
        finally:
            if not running.done():
                async with asyncio.timeout(WAIT_SECONDS):
                    await engine.stop()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerProcess:
    """A worker of its own, which can be stopped, paused and killed."""

    process: asyncio.subprocess.Process
    log_path: Path

    def log(self) -> str:
        """Return all that it printed."""
        return self.log_path.read_text(errors="replace")


@asynccontextmanager
async def worker_process(
    settings: Settings, folder: Path, *, sources: Mapping[str, str] | None = None
) -> AsyncIterator[WorkerProcess]:
    """Start ``python -m webhook_dispatcher.worker``; kill it when the block ends, if it still runs.

    ``sources``: settings of queue sources, such as ``nats_url``.
    """
    environment = {
        "CAUSEWAY_DATABASE_URL": settings.database_url,
        "CAUSEWAY_QUEUE_URL": settings.queue_url,
        "CAUSEWAY_SEALING_KEYS": settings.sealing_keys.get_secret_value(),
        "CAUSEWAY_EGRESS_ALLOW_CIDRS": str(_LOOPBACK),
        "CAUSEWAY_LEASE_SECONDS": str(settings.lease_seconds),
        "CAUSEWAY_STREAM_CLAIM_IDLE_SECONDS": str(settings.stream_claim_idle_seconds),
        "CAUSEWAY_LOG_LEVEL": "info",
        **{f"CAUSEWAY_{name.upper()}": value for name, value in (sources or {}).items()},
    }
    log_path = folder / f"worker-{secrets.token_hex(3)}.log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "webhook_dispatcher.worker"),
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
    try:
        yield WorkerProcess(process=process, log_path=log_path)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def plain(url: str) -> str:
    """Return a database URL as other tools read it."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)
