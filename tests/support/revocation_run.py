"""Revocations watched by three warm processes at 200 verifications a second each."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from support.api_processes import Credentials, credentials_processes
from support.credentials_service import settings_for
from support.databases import Databases
from support.verifier_process import VerifierProcess, verifier_processes

LIMIT_SECONDS = 1.0
GRACE_SECONDS = 3.0
WATCHED_SCOPE = "events:publish"
MONEY_SCOPES = (WATCHED_SCOPE, "transfers:create")
READING_SCOPE = "events:read"

Mutate = Callable[[Credentials, str, str], Awaitable[httpx2.Response]]


async def _revoke(credentials: Credentials, tenant_id: str, key_id: str) -> httpx2.Response:
    return await credentials.platform.post(f"/v1/api-keys/{key_id}/revoke", headers={"x-tenant-id": tenant_id})


async def _delete(credentials: Credentials, tenant_id: str, key_id: str) -> httpx2.Response:
    return await credentials.platform.delete(f"/v1/api-keys/{key_id}", headers={"x-tenant-id": tenant_id})


async def _rotate(credentials: Credentials, tenant_id: str, key_id: str) -> httpx2.Response:
    return await credentials.platform.post(
        f"/v1/api-keys/{key_id}/rotate", json={"overlap_seconds": 0}, headers={"x-tenant-id": tenant_id}
    )


async def _narrow(credentials: Credentials, tenant_id: str, key_id: str) -> httpx2.Response:
    return await credentials.platform.patch(
        f"/v1/api-keys/{key_id}", json={"scopes": ["events:read"]}, headers={"x-tenant-id": tenant_id}
    )


async def _suspend(credentials: Credentials, tenant_id: str, _key_id: str) -> httpx2.Response:
    return await credentials.platform.patch(f"/v1/tenants/{tenant_id}", json={"status": "suspended"})


MUTATIONS: dict[str, Mutate] = {
    "revoke": _revoke,
    "rotate": _rotate,
    "patch scope": _narrow,
    "suspend tenant": _suspend,
    "delete": _delete,
}


@dataclass(slots=True)
class Delays:
    """From the mutation until each process denied, in seconds: since it was answered, and since it was sent."""

    by_mutation: dict[str, list[float]] = field(default_factory=dict)
    since_sent: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, str]:
        """Return what a closing table shows."""
        every = [delay for delays in self.by_mutation.values() for delay in delays]
        lines = {
            f"{name}: median / max (ms)": f"{_ms(_quantile(delays, 0.5))} / {_ms(max(delays))}"
            for name, delays in self.by_mutation.items()
        }
        return {
            "denials": str(len(every)),
            **lines,
            "p99 of all (ms)": _ms(_quantile(every, 0.99)),
            "p99 since it was sent (ms)": _ms(_quantile(self.since_sent, 0.99)),
        }


async def run(credentials: Credentials, verifiers: Sequence[VerifierProcess], *, rounds: int) -> Delays:
    """Make each mutation ``rounds`` times; every process must deny within the second, and never allow again."""
    delays = Delays()
    for name, mutate in MUTATIONS.items():
        for _ in range(rounds):
            tenant_id = await credentials.new_tenant()
            made = await credentials.new_key(tenant_id, scopes=[WATCHED_SCOPE, "events:read"])
            for verifier in verifiers:
                await verifier.watch(made["key"], [WATCHED_SCOPE])
            sent_at = time.monotonic()
            (await mutate(credentials, tenant_id, made["id"])).raise_for_status()
            answered_at = time.monotonic()
            for verifier in verifiers:
                denied_at = await verifier.until(WATCHED_SCOPE, "denied")
                assert sent_at < denied_at < answered_at + LIMIT_SECONDS, f"{name}: {denied_at - answered_at:.3f} s"
                # A process may hear of the commit before the answer has come back to us.
                delays.by_mutation.setdefault(name, []).append(max(0.0, denied_at - answered_at))
                delays.since_sent.append(denied_at - sent_at)
            for verifier in verifiers:
                await verifier.settle()
    assert sum(verifier.again for verifier in verifiers) == 0, "allowed again after it was denied"
    return delays


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """Until when money and publishing were allowed anywhere, and until when reading was, first and last process."""

    money_stopped_seconds: float
    reading_ended_seconds: tuple[float, float]

    def figures(self) -> dict[str, str]:
        """Return what a closing table shows."""
        first, last = self.reading_ended_seconds
        return {
            "money and publishing allowed until (ms)": f"{self.money_stopped_seconds * 1000:.0f}",
            "reading allowed until (s)": f"{first:.2f} to {last:.2f}",
            "grace (s)": str(GRACE_SECONDS),
        }


@asynccontextmanager
async def three_warm(
    databases: Databases, queue_url: str, folder: Path
) -> AsyncIterator[tuple[Credentials, list[VerifierProcess]]]:
    """Run two API processes and three siblings: two of the first, one of the second."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(databases.temporary("credentials"))
        settings = settings_for(url, queue_url=queue_url)
        credentials = await stack.enter_async_context(credentials_processes(settings, count=2, folder=folder))
        urls = [credentials.processes[number % 2].url for number in range(3)]
        verifiers = await stack.enter_async_context(
            verifier_processes(urls, service_key=credentials.service_key, grace_seconds=GRACE_SECONDS)
        )
        yield credentials, verifiers


async def without_credentials(
    credentials: Credentials,
    verifiers: Sequence[VerifierProcess],
    *,
    take_away: Callable[[], Awaitable[None]],
    bring_back: Callable[[], Awaitable[None]],
) -> Away:
    """Take credentials away: money and publishing stop within the second, reading with its grace; then bring it back."""
    made = await credentials.new_key(await credentials.new_tenant(), roles=["owner"])
    for verifier in verifiers:
        await verifier.watch(made["key"], [*MONEY_SCOPES, READING_SCOPE])
    began_at = time.monotonic()
    await take_away()
    stopped: list[float] = []
    for verifier in verifiers:
        for scope in MONEY_SCOPES:
            await verifier.until(scope, "unavailable")
            stopped.append(verifier.last_allowed[scope] - began_at)
    ended: list[float] = []
    for verifier in verifiers:
        await verifier.until(READING_SCOPE, "unavailable")
        ended.append(verifier.last_allowed[READING_SCOPE] - began_at)
    await bring_back()
    for verifier in verifiers:
        for scope in (*MONEY_SCOPES, READING_SCOPE):
            await verifier.until(scope, "allowed")
    return Away(money_stopped_seconds=max(stopped), reading_ended_seconds=(min(ended), max(ended)))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
