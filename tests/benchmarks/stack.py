"""The stack under measurement: the real processes, as ``make run`` starts them, with tenants and webhooks for load."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import asyncpg
import httpx2
from redis.asyncio import Redis

EVENT_TYPES = [
    f"{function}.approved.node.{node}"
    for function in ("withdrawal", "prop_trading", "prop_trading_live", "transfer", "kyc")
    for node in range(1, 11)
]
_START_SECONDS = 120


@dataclass(slots=True, kw_only=True)
class Stack:
    """What ``stack.json`` says, with clients."""

    info: dict[str, Any]
    http: httpx2.AsyncClient
    queue: Redis
    receiver_url: str
    wallet_control_token: str

    @property
    def dispatcher_url(self) -> str:
        return str(self.info["services"]["webhook-dispatcher"]["url"])

    async def new_tenant(self, name: str) -> tuple[str, str]:
        """Return a new tenant's id and its owner key."""
        base = self.info["services"]["credentials"]["url"]
        platform = {"authorization": f"Bearer {self.info['keys']['platform']}"}
        tenant = (await self.http.post(f"{base}/v1/tenants", json={"name": name}, headers=platform)).raise_for_status()
        tenant_id = tenant.json()["id"]
        body = {"name": "owner", "kind": "secret", "environment": "live", "scopes": [], "roles": ["owner"]}
        key = await self.http.post(f"{base}/v1/api-keys", json=body, headers={**platform, "x-tenant-id": tenant_id})
        return tenant_id, key.raise_for_status().json()["key"]

    async def new_webhook(self, owner_key: str, event_type: str, *, path: str = "/ok", **fields: Any) -> str:
        """Return the id of a new webhook to the receiver for one event type."""
        body = {
            "name": event_type,
            "url": self.receiver_url + path,
            "events": [event_type],
            "trigger": "every",
            **fields,
        }
        answer = await self.http.post(f"{self.dispatcher_url}/v1/webhooks", json=body, headers={"x-api-key": owner_key})
        return str(answer.raise_for_status().json()["id"])

    async def received(self) -> dict[str, Any]:
        """Return the receiver's counts."""
        counts: dict[str, Any] = (await self.http.get(f"{self.receiver_url}/stats")).json()
        return counts

    async def reset(self) -> None:
        """Forget the receiver's counts."""
        await self.http.post(f"{self.receiver_url}/reset")

    async def settle_database(self, service: str) -> None:
        """Write a service's database to the disk, and clean and count its tables, as time does."""
        connection = await asyncpg.connect(self.info["databases"][service])
        try:
            await connection.execute("VACUUM (ANALYZE)")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    def worker_pids(self) -> list[int]:
        """Return the dispatcher's workers."""
        processes = self.info["processes"]
        return [entry["pid"] for name, entry in processes.items() if name.startswith("webhook-dispatcher-worker")]

    def workers_mib(self, *, peak: bool = False) -> int:
        """Return the memory that the dispatcher's largest worker holds, or held at its peak since it began."""
        lines = [line for pid in self.worker_pids() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
        return max(int(line.split()[1]) for line in lines if line.startswith("VmHWM" if peak else "VmRSS")) // 1024

    async def ledger(self, owner_key: str) -> dict[str, Any]:
        """Return a tenant's ledger; raises if it does not balance, for then the run is void."""
        answer = await self.http.get(f"{self.dispatcher_url}/v1/ledger", headers={"x-api-key": owner_key})
        counts: dict[str, Any] = answer.raise_for_status().json()
        if not counts["balanced"]:
            raise RuntimeError(f"the ledger does not balance, the run is void: {counts}")
        return counts


@asynccontextmanager
async def running_stack(*, workers: int) -> AsyncIterator[Stack]:
    """Start a stack with a data folder of its own and a receiver; end both."""
    folder = _new_folder()
    environment = {
        **os.environ,
        "CAUSEWAY_PORT_BASE": "0",
        "CAUSEWAY_DATA_DIR": str(folder / "data"),
        "CAUSEWAY_DEMO": "0",
        "CAUSEWAY_DISPATCHER_WORKERS": str(workers),
        "CAUSEWAY_LOG_LEVEL": "warning",
    }
    log = _open_log(folder)
    stack = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "embedded", env=environment, stdout=log, stderr=log
    )
    receiver = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("receiver.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        info = await _ready(folder / "data" / "stack.json", stack, folder / "stack.log")
        assert receiver.stdout is not None
        port = int(await receiver.stdout.readline())
        queue = Redis.from_url(info["queue"]["url"])
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:
            kept = json.loads((folder / "data" / "secrets.json").read_text())
            yield Stack(
                info=info,
                http=http,
                queue=queue,
                receiver_url=f"http://127.0.0.1:{port}",
                wallet_control_token=kept["wallet_control_token"],
            )
        await queue.aclose()
    finally:
        for process in (stack, receiver):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
        log.close()


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="causeway-bench-"))
    folder.chmod(0o755)  # the user that PostgreSQL runs as goes through it
    return folder


def _open_log(folder: Path) -> BinaryIO:
    return (folder / "stack.log").open("wb")


async def _ready(path: Path, process: asyncio.subprocess.Process, log: Path) -> dict[str, Any]:
    async with asyncio.timeout(_START_SECONDS):
        while (info := _read(path)) is None:
            if process.returncode is not None:
                raise RuntimeError(f"the stack ended at its start, see {log}")
            await asyncio.sleep(0.05)
        return info


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None
