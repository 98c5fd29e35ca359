"""Valkey and Postgres go away and come back, under engines of their own: delivery goes on, or goes on again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import httpx2
import pytest

from embedded.postgres import EmbeddedPostgres
from embedded.valkey import EmbeddedValkey
from support.databases import Databases
from support.engine import Dispatcher, engine_settings, event, running_dispatcher, running_engine, until, worker_process
from support.figures import Figures
from support.receiver import Answer
from support.served_time import served_clock


@pytest.fixture(scope="module")
def own_postgres(engines_dir: Path) -> Iterator[EmbeddedPostgres]:
    """Return a server that tests may stop and kill."""
    server = EmbeddedPostgres(engines_dir / "own-postgres", durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_valkey(engines_dir: Path) -> Iterator[EmbeddedValkey]:
    """Return a queue server that tests may stop and kill."""
    server = EmbeddedValkey(engines_dir / "own-valkey", durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def fragile(own_postgres: EmbeddedPostgres, own_valkey: EmbeddedValkey) -> AsyncIterator[Dispatcher]:
    """Return a dispatcher without a worker, on servers that tests may stop and kill."""
    settings = engine_settings(await Databases(own_postgres.url()).create("webhook_dispatcher"), own_valkey.url())
    async with running_dispatcher(settings) as running:
        yield running


async def test_valkey_away_delays_http_by_a_second_at_most(
    fragile: Dispatcher, own_valkey: EmbeddedValkey, show: Figures
) -> None:
    """Without Valkey publishing over HTTP is answered at once and delivered at the engine's next look."""
    hook = await fragile.new_hook()
    async with running_engine(fragile.settings), served_clock() as clock:
        await fragile.publish(event(0))
        await hook.until_received(1)
        own_valkey.kill()
        answered: list[float] = []
        delivered: list[float] = []
        for number in range(1, 6):
            started = clock.now()
            await fragile.publish(event(number))
            answered.append(clock.now() - started)
            await hook.until_received(number + 1)
            delivered.append(clock.now() - started)
        own_valkey.start()
        await fragile.add(event(9))
        await hook.until_received(7)
        await fragile.until_settled(events=7)
    show(answered_ms_max=round(max(answered) * 1000), delivered_ms=[round(value * 1000) for value in delivered])
    assert max(answered) < 0.5
    assert max(delivered) < 2
    assert len(set(hook.ids())) == len(hook.ids()) == 7


async def test_a_worker_starts_while_valkey_is_away(
    fragile: Dispatcher, own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    """A worker that starts without Valkey delivers what is in the database, and reads the stream once Valkey is back."""
    hook = await fragile.new_hook()
    own_valkey.kill()
    async with worker_process(fragile.settings, tmp_path) as worker:
        await fragile.publish(event(1))
        await hook.until_received(1)
        own_valkey.start()
        await fragile.add(event(2))
        await hook.until_received(2)
        await fragile.until_settled(events=2)
        worker.process.terminate()
        assert await asyncio.wait_for(worker.process.wait(), 10) == 0


async def test_a_worker_stops_in_order_while_valkey_is_away(
    fragile: Dispatcher, own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    """SIGTERM ends a worker in time with exit code 0, its lanes given up, also without Valkey."""
    async with worker_process(fragile.settings, tmp_path) as worker:
        await until(fragile.lanes, what="the worker owns lanes")
        own_valkey.kill()
        worker.process.terminate()
        try:
            assert await asyncio.wait_for(worker.process.wait(), 10) == 0
            assert await fragile.lanes() == {}
        finally:
            own_valkey.start()


@pytest.mark.parametrize("way", ["stopped", "killed"])
async def test_postgres_restarts_under_load(fragile: Dispatcher, own_postgres: EmbeddedPostgres, way: str) -> None:
    """A restart of Postgres in the middle loses nothing and, since the outcomes wait in memory, doubles nothing."""
    hooks = [await fragile.new_hook(max_in_flight=10) for _ in range(4)]
    for hook in hooks:
        hook.otherwise = Answer(delay_seconds=0.02)
    async with running_engine(fragile.settings):
        load = asyncio.create_task(_publish(fragile, count=300))
        await hooks[0].until_received(20)
        own_postgres.stop() if way == "stopped" else own_postgres.kill()
        own_postgres.start()
        ids = await load
        await _until_settled(fragile, events=len(ids))
    for hook in hooks:
        assert Counter(hook.ids()) == dict.fromkeys(ids, 1)
    assert await fragile.database.fetchval("SELECT count(*) FROM attempts WHERE outcome <> 'delivered'") == 0
    assert (await fragile.ledger())["delivered"] == len(ids) * len(hooks)


async def _publish(dispatcher: Dispatcher, *, count: int) -> list[str]:
    """Publish by HTTP and stream in turn, each event until it was answered for; returns the ids."""
    ids: list[str] = []
    for number in range(count):
        item = event(number, id=f"e{number}")
        if number % 2:
            await until(partial(_published, dispatcher, item), what=item["id"])
        else:
            await dispatcher.add(item)
        ids.append(item["id"])
    return ids


async def _published(dispatcher: Dispatcher, item: dict[str, object]) -> bool:
    try:
        answer = await dispatcher.api.post("/v1/events", json=item)
    except (OSError, httpx2.HTTPError):
        return False
    return bool(answer.status_code == 202)


async def _until_settled(dispatcher: Dispatcher, *, events: int) -> None:
    """Wait until nothing is outstanding, on connections that may have died with the server."""
    await dispatcher.database.expire_connections()
    await dispatcher.until_settled(events=events)
    await until(lambda: _answers(dispatcher), what="the API answers again")


async def _answers(dispatcher: Dispatcher) -> bool:
    return bool((await dispatcher.api.get("/v1/ledger")).status_code == 200)
