"""The receiver as a process of its own, so that it is neither slowed by the test nor killed with the stack.

``POST /_hooks`` with ``{name, secret, fails_one_in, delay_seconds}`` adds a URL; ``GET /_counts`` and
``GET /_report`` tell what came.
"""

import asyncio
import json
import os
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverProcess:
    """A client of a running receiver."""

    base_url: str
    http: httpx2.AsyncClient

    def url(self, name: str) -> str:
        """Return where a hook is reached."""
        return f"{self.base_url}/{name}"

    async def add_hook(self, name: str, secret: str, *, fails_one_in: int = 0, delay_seconds: float = 0.0) -> None:
        """Add a URL; of ``fails_one_in`` ids one is answered 500 when it first comes."""
        body = {"name": name, "secret": secret, "fails_one_in": fails_one_in, "delay_seconds": delay_seconds}
        (await self.http.post(f"{self.base_url}/_hooks", json=body)).raise_for_status()

    async def accepted(self) -> dict[str, dict[str, int]]:
        """Return, for each hook, how often each webhook-id was verified and answered 2xx."""
        report: dict[str, Any] = (await self.http.get(f"{self.base_url}/_report")).raise_for_status().json()
        return report["accepted"]  # type: ignore[no-any-return]  # the process's own report

    async def counts(self) -> dict[str, int]:
        """Return the totals: distinct ids accepted, accepted again, refused on purpose, signatures not verified."""
        counts: dict[str, int] = (await self.http.get(f"{self.base_url}/_counts")).raise_for_status().json()
        return counts


@asynccontextmanager
async def receiver_process(*, clock_path: Path | None = None) -> AsyncIterator[ReceiverProcess]:
    """Run a receiver until the block ends; it also ends when this process does, however that ends."""
    from support.stack import movable_clock_environment  # noqa: PLC0415 - the path is set by main

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **movable_clock_environment(clock_path)},
    )
    assert process.stdout is not None
    try:
        base_url = (await process.stdout.readline()).decode().strip()
        async with httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as http:
            yield ReceiverProcess(base_url=base_url, http=http)
    finally:
        process.terminate()
        await process.wait()


async def _serve() -> None:
    from support.receiver import Answer, Hook, Received, running_receiver  # noqa: PLC0415 - the path is set by main

    failed: set[tuple[str, str]] = set()
    refused = 0

    def add(name: str, secret: str, fails_one_in: int, delay_seconds: float) -> None:
        def choose(received: Received) -> Answer:
            nonlocal refused
            key = (name, received.webhook_id)
            if fails_one_in and zlib.crc32(received.webhook_id.encode()) % fails_one_in == 0 and key not in failed:
                failed.add(key)
                refused += 1
                return Answer(status=500)
            return Answer(status=200 if received.verified[0] else 400, delay_seconds=delay_seconds)

        receiver.hook(name, secrets=[secret], choose=choose, keeps_requests=False)

    def control(method: str, path: str, body: bytes) -> bytes:
        if (method, path) == ("POST", "/_hooks"):
            add(**json.loads(body))
            return b"{}"
        hooks: dict[str, Hook] = {name.removeprefix("/"): hook for name, hook in receiver.hooks.items()}
        if path == "/_report":
            return json.dumps({"accepted": {name: hook.accepted for name, hook in hooks.items()}}).encode()
        distinct = sum(len(hook.accepted) for hook in hooks.values())
        return json.dumps(
            {
                "distinct": distinct,
                "again": sum(hook.accepted.total() for hook in hooks.values()) - distinct,
                "refused": refused,
                "unverified": sum(hook.unverified for hook in hooks.values()),
            }
        ).encode()

    async with running_receiver() as receiver:
        receiver.control = control
        sys.stdout.write(f"{receiver.base_url}\n")
        sys.stdout.flush()
        # The parent holds our standard input: when it ends, so do we.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    asyncio.run(_serve())
