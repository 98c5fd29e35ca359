"""What runs beside the requests outlives a failure that nobody foresaw, and readiness tells of it."""

import asyncio
from typing import Any

import pytest

from credentials import background
from credentials.audit.denials import Denials
from support.credentials_service import credentials_service, settings_for
from support.databases import Databases


async def test_a_part_that_fails_is_begun_anew_and_readiness_tells(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process goes on answering, the part goes on working, and after a while readiness has nothing to tell."""
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.0)
    working = asyncio.Event()
    begun = 0

    async def run(_self: Any) -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ZeroDivisionError
        working.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Denials, "run", run)
    async with databases.temporary("credentials") as url, credentials_service(settings_for(url)) as service:
        async with asyncio.timeout(5):
            await working.wait()
        answer = await service.client().get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["failing"]["background"] == "BackgroundFailedError"
        assert (await service.platform.get("/v1/whoami")).status_code == 200
        monkeypatch.setattr(background, "_TELLS_FOR_SECONDS", 0.0)
        assert "background" not in (await service.client().get("/readyz")).json()["failing"]
    assert begun == 2


async def test_the_end_stops_every_part() -> None:
    """Also one that is waiting to be begun anew."""
    stopped = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def fails() -> None:
        raise ZeroDivisionError

    running = background.Background()
    async with running.running({"waits": waits, "fails": fails}):
        async with asyncio.timeout(5):
            while True:
                try:
                    await running.check()
                except background.BackgroundFailedError:
                    break
                await asyncio.to_thread(int)
    assert stopped.is_set()
