"""Credentials takes requests and never answers: the first to notice wait for their time limit, and then nobody waits any more."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from shared.access import AccessClient, AccessUnavailableError
from shared.access.jwks import REFRESH_SECONDS
from support.api_processes import ApiProcess, credentials_processes
from support.credentials_service import settings_for
from support.databases import Databases
from support.figures import Figures
from support.following_siblings import follow
from support.oauth_client import OAuthClient

WAIT_SECONDS_MAX = 1.0
"""Half the time limit of a question; those that wait for the trial do so for a quarter of a second."""
NOTICED_SECONDS = 4.0
"""When the time limit of the first questions is over: the feed lapses within the first second, and they have two more."""
WATCHED_SECONDS = 7.0
PER_SECOND = 20


@dataclass(frozen=True, slots=True)
class Hanging:
    """A sibling that is warm, the process of credentials that it asks, and what it may be asked about."""

    sibling: AccessClient
    process: ApiProcess
    keys: Sequence[str]
    token: str


@pytest.fixture
async def warm(databases: Databases, tmp_path: Path) -> AsyncIterator[Hanging]:
    """Return a sibling that has verified everything just now."""
    async with databases.temporary("credentials") as url:
        settings = settings_for(url)
        async with credentials_processes(settings, count=1, folder=tmp_path) as credentials:
            tenant_id = await credentials.new_tenant()
            made = [await credentials.new_key(tenant_id, scopes=["events:publish", "events:read"]) for _ in range(5)]
            async with httpx2.AsyncClient(base_url=credentials.processes[0].url, trust_env=False) as http:
                token = await OAuthClient.of(http, made[0]).token()
            sibling = AccessClient.open(
                credentials.processes[0].url, SecretStr(credentials.service_key), issuer=settings.issuer
            )
            await follow(sibling)
            for text in (*(key["key"] for key in made), token):
                assert await sibling.verify(text, ip=None, scope="events:read") is not None
            yield Hanging(sibling, credentials.processes[0], [key["key"] for key in made], token)
            await credentials.processes[0].send(signal.SIGCONT)  # else it would not end
            await sibling.aclose()


async def seconds_of(sibling: AccessClient, text: str, scope: str) -> tuple[float, bool]:
    """Return how long the sibling takes over a request, and whether it lets it pass."""
    began = time.monotonic()
    try:
        is_allowed = await sibling.verify(text, ip=None, scope=scope) is not None
    except AccessUnavailableError:
        is_allowed = False
    return time.monotonic() - began, is_allowed


async def test_while_credentials_hangs_nobody_waits_but_those_who_find_out(warm: Hanging, show: Figures) -> None:
    """Keys and tokens go on reading at once, also with published keys that are old; money fails at once; it ends by itself."""
    await warm.process.send(signal.SIGSTOP)
    began = time.monotonic()
    warm.sibling._keys._fetched_at -= REFRESH_SECONDS
    reads, payments = [], []
    for number in range(int(WATCHED_SECONDS * PER_SECOND)):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        text = [*warm.keys, warm.token][number % 6]
        since = time.monotonic() - began
        reads.append((since, asyncio.create_task(seconds_of(warm.sibling, text, "events:read"))))
        payments.append((since, asyncio.create_task(seconds_of(warm.sibling, text, "events:publish"))))
    later_reads = [await task for since, task in reads if since > NOTICED_SECONDS]
    later_payments = [await task for since, task in payments if since > NOTICED_SECONDS]
    await asyncio.gather(*(task for _, task in (*reads, *payments)))
    slowest = max(seconds for seconds, _ in (*later_reads, *later_payments))
    show(**{"slowest while it hangs (ms)": f"{slowest * 1000:.0f}", "requests": str(2 * len(later_reads))})
    assert all(is_allowed for _, is_allowed in later_reads)
    assert not any(is_allowed for _, is_allowed in later_payments)
    assert slowest < WAIT_SECONDS_MAX
    await warm.process.send(signal.SIGCONT)
    async with asyncio.timeout(10):
        for text in (*warm.keys, warm.token):
            while not (await seconds_of(warm.sibling, text, "events:publish"))[1]:  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.05)
