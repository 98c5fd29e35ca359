"""Three processes, warm at 200 verifications a second each: every mutation is in force in all of them within the second.

The long version of the same is ``tests/chaos/test_revocation.py``.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.valkey import EmbeddedValkey
from support.databases import Databases
from support.figures import Figures
from support.revocation_run import GRACE_SECONDS, LIMIT_SECONDS, run, three_warm, without_credentials


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """Return a queue server that the test may kill."""
    server = EmbeddedValkey(tmp_path / "valkey", durable=False)
    server.start()
    yield server
    server.stop()


async def test_all_deny_within_a_second_and_again_with_valkey_killed(
    databases: Databases, valkey: EmbeddedValkey, tmp_path: Path, show: Figures
) -> None:
    """Revoke, rotate, narrow, suspend and delete; the hint makes it quicker and is not needed."""
    async with three_warm(databases, valkey.url(), tmp_path) as (credentials, verifiers):
        show(valkey="up", **(await run(credentials, verifiers, rounds=1)).figures())
        valkey.kill()
        show(valkey="killed", **(await run(credentials, verifiers, rounds=1)).figures())


async def test_with_credentials_killed_money_stops_within_a_second_and_reading_with_its_grace(
    databases: Databases, tmp_path: Path, show: Figures
) -> None:
    """And all goes on when credentials is back."""
    async with three_warm(databases, "redis://127.0.0.1:1/0", tmp_path) as (credentials, verifiers):

        async def kill() -> None:
            await asyncio.gather(*(process.kill() for process in credentials.processes))

        async def start() -> None:
            await asyncio.gather(*(process.start() for process in credentials.processes))

        seen = await without_credentials(credentials, verifiers, take_away=kill, bring_back=start)
        show(**seen.figures())
        assert seen.money_stopped_seconds < LIMIT_SECONDS
        assert seen.reading_ended_seconds[0] > GRACE_SECONDS - LIMIT_SECONDS
        assert seen.reading_ended_seconds[1] < GRACE_SECONDS + LIMIT_SECONDS
