"""A sibling as a process of its own: verifies one key 200 times a second, and says when what it is told changes.

Commands on standard input, one JSON line each: ``{"key": …, "scopes": […]}`` begins a new watch. What it prints, one JSON line
each and each with the number of its watch: ``{"warm": true}`` when it has been allowed for a while, ``{"scope", "outcome", "at",
"last_allowed_at"}`` at each change. Times are CLOCK_MONOTONIC and thus comparable between processes of one machine.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PER_SECOND = 200
WARM_COUNT = 40
_ANSWER_SECONDS = 20.0


@dataclass(slots=True)
class VerifierProcess:
    """The test's end of one such process."""

    process: asyncio.subprocess.Process
    changes: dict[str, tuple[str, float]] = field(default_factory=dict)
    """The newest outcome of each scope, and since when."""
    last_allowed: dict[str, float] = field(default_factory=dict)
    """When each scope was last allowed before its newest change."""
    watch_number: int = 0
    again: int = 0
    """How often a scope was allowed again after it was not."""
    counts: Counter[str] = field(default_factory=Counter)

    async def watch(self, key: str, scopes: Sequence[str]) -> None:
        """Begin a watch, and return when the key is warm."""
        self.changes.clear()
        self.last_allowed.clear()
        self.watch_number += 1
        await self._say({"key": key, "scopes": list(scopes), "watch": self.watch_number})
        while not (await self._next()).get("warm"):
            pass

    async def until(self, scope: str, outcome: str) -> float:
        """Return since when the scope has this outcome."""
        while self.changes.get(scope, ("", 0.0))[0] != outcome:
            await self._next()
        return self.changes[scope][1]

    async def settle(self) -> None:
        """Take in all that it has said until now."""
        await self._say({"echo": True})
        while not (await self._next()).get("echo"):
            pass

    async def _say(self, command: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        await self.process.stdin.drain()

    async def _next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(_ANSWER_SECONDS):
            line = await self.process.stdout.readline()
        said: dict[str, Any] = json.loads(line)
        if said["watch"] != self.watch_number:
            return {}
        if "outcome" in said:
            before = self.changes.get(said["scope"], ("", 0.0))[0]
            self.again += before not in {"", "allowed"} and said["outcome"] == "allowed"
            self.changes[said["scope"]] = (said["outcome"], said["at"])
            self.last_allowed[said["scope"]] = said["last_allowed_at"]
        self.counts.update(said.get("counts", {}))
        return said


@asynccontextmanager
async def verifier_processes(
    urls: Sequence[str], *, service_key: str, grace_seconds: float = 30.0
) -> AsyncIterator[list[VerifierProcess]]:
    """Run one process for each URL of credentials; they end with the block, or when this process does."""
    async with AsyncExitStack() as stack:
        running = []
        for url in urls:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(Path(__file__)), url, str(grace_seconds)),
                env={**os.environ, "CAUSEWAY_SERVICE_KEY": service_key},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            stack.push_async_callback(_end, process)
            running.append(VerifierProcess(process))
        yield running


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


class _Loop:
    """Verifies on a fixed schedule."""

    def __init__(self, client: Any, unavailable: type[Exception]) -> None:
        self._client = client
        self._unavailable = unavailable
        self._key = ""
        self._scopes: list[str] = []
        self._watch = 0
        self._outcomes: dict[str, str] = {}
        self._last_allowed: dict[str, float] = {}
        self._allowed_in_a_row = 0
        self._counts: Counter[str] = Counter()

    def take(self, command: dict[str, Any]) -> None:
        """Begin a watch, or echo."""
        if command.get("echo"):
            self._print({"echo": True, "counts": self._counts})
            self._counts = Counter()
            return
        self._key, self._scopes, self._watch = command["key"], command["scopes"], command["watch"]
        self._outcomes, self._last_allowed, self._allowed_in_a_row = {}, {}, 0

    async def run(self) -> None:
        """Verify until cancelled."""
        due = time.monotonic()
        while True:
            due = max(due + 1 / PER_SECOND, time.monotonic() - 0.1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            # Side by side, as requests are: one that waits for credentials holds up no other.
            await asyncio.gather(*(self._verify(self._key, scope) for scope in self._scopes))

    async def _verify(self, key: str, scope: str) -> None:
        started_at = time.monotonic()
        try:
            principal = await self._client.verify(key, ip=None, scope=scope)
            outcome = "allowed" if principal is not None and scope in principal.scopes else "denied"
        except self._unavailable:
            outcome = "unavailable"
        if key != self._key:
            return
        now = time.monotonic()
        self._counts["verified"] += 1
        self._counts["slow"] += now - started_at > 1 / PER_SECOND
        if self._outcomes.get(scope) != outcome:
            self._outcomes[scope] = outcome
            last_allowed_at = self._last_allowed.get(scope, 0.0)
            self._print({"scope": scope, "outcome": outcome, "at": now, "last_allowed_at": last_allowed_at})
        if outcome != "allowed":
            self._allowed_in_a_row = 0
            return
        self._last_allowed[scope] = now
        if self._allowed_in_a_row < WARM_COUNT and self._client.feed.is_live():
            self._allowed_in_a_row += 1
            if self._allowed_in_a_row == WARM_COUNT:
                self._print({"warm": True})

    def _print(self, said: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps({**said, "watch": self._watch}) + "\n")
        sys.stdout.flush()


async def _serve(url: str, grace_seconds: float) -> None:
    from pydantic import SecretStr  # noqa: PLC0415 - only the child needs these

    from shared.access import AccessClient, AccessUnavailableError  # noqa: PLC0415 - as above
    from shared.telemetry import configure_logging  # noqa: PLC0415 - as above

    configure_logging(service="verifier", level="error", log_format="json")

    key = SecretStr(os.environ["CAUSEWAY_SERVICE_KEY"])
    client = AccessClient.open(url, key, service="verifier", grace_seconds=grace_seconds)
    client.start_following()
    loop = _Loop(client, AccessUnavailableError)
    verifying = asyncio.create_task(loop.run())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        loop.take(json.loads(line))
    verifying.cancel()
    await client.aclose()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], float(sys.argv[2])))
