"""The long version of ``tests/integration/credentials/test_revocation_everywhere.py``: enough denials for a p99."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.valkey import EmbeddedValkey
from support.databases import Databases
from support.figures import Figures
from support.revocation_run import GRACE_SECONDS, LIMIT_SECONDS, run, three_warm, without_credentials

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

ROUNDS = 20


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """Return a queue server that the test may break."""
    server = EmbeddedValkey(tmp_path / "valkey", durable=False)
    server.start()
    yield server
    server.send_signal(signal.SIGCONT)
    server.stop()


@pytest.mark.parametrize("broken", [None, signal.SIGKILL, signal.SIGSTOP], ids=["up", "killed", "hung"])
async def test_300_denials_within_a_second(
    databases: Databases, valkey: EmbeddedValkey, tmp_path: Path, show: Figures, broken: signal.Signals | None
) -> None:
    """With Valkey up, killed, and holding its connections open without answering."""
    async with three_warm(databases, valkey.url(), tmp_path) as (credentials, verifiers):
        if broken is not None:
            valkey.send_signal(broken)
        show(valkey=broken.name if broken else "up", **(await run(credentials, verifiers, rounds=ROUNDS)).figures())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
async def test_without_credentials_money_stops_and_reading_goes_on_for_the_grace(
    databases: Databases, tmp_path: Path, show: Figures, how: signal.Signals
) -> None:
    """Killed and started again, and hung and going on."""
    async with three_warm(databases, "redis://127.0.0.1:1/0", tmp_path) as (credentials, verifiers):

        async def take_away() -> None:
            for process in credentials.processes:
                await process.send(how)

        async def bring_back() -> None:
            if how is signal.SIGSTOP:
                for process in credentials.processes:
                    await process.send(signal.SIGCONT)
            else:
                await asyncio.gather(*(process.start() for process in credentials.processes))

        for _ in range(3):
            seen = await without_credentials(credentials, verifiers, take_away=take_away, bring_back=bring_back)
            show(credentials=how.name, **seen.figures())
            assert seen.money_stopped_seconds < LIMIT_SECONDS
            assert seen.reading_ended_seconds[1] < GRACE_SECONDS + LIMIT_SECONDS
