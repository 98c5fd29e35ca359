"""Under load, processes are killed and the queue is emptied: nothing accepted is lost, only what was in flight is doubled.

``CAUSEWAY_CHAOS_SEED`` repeats the random moments of a run; each run prints its seed. ``CAUSEWAY_CHAOS_SOAK_SECONDS`` makes the
soak shorter or longer than ten minutes.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from random import Random

import asyncpg
import pytest
from redis.asyncio import Redis

from chaos import faults
from chaos.faults import Fault, Happened
from chaos.load import EVENTS_PER_SECOND, Load
from chaos.verdict import figures, judge, read_books
from support.figures import Figures
from support.receiver_process import receiver_process
from support.stack import StackProcess, running_stack

_FULL = 5_000
_SHORT = 1_500
_SOAK_SECONDS = 600
_SOAK_EVENTS_PER_SECOND = 500
_SOAK_FAULT_EVERY_SECONDS = 25
_RSS_MIB_MAX = 256
_SETTLE_SECONDS = 120
_ACCEPTED_SECONDS = 30
_POLL_SECONDS = 0.2
_SETTLE_POLL_SECONDS = 1.0
"""Each look counts all events."""


FAULTS: Sequence[Fault] = (
    *(faults.kill_worker, faults.kill_api, faults.kill_credentials, faults.kill_postgres, faults.kill_valkey),
    *(faults.flush_queue, faults.restart_postgres, faults.stop_worker, faults.stop_api, faults.pause_worker),
    faults.destroy_group,
)


def _seed() -> int:
    return int(os.environ.get("CAUSEWAY_CHAOS_SEED") or Random().randrange(1_000_000))


async def test_a_short_run_survives_a_worker_postgres_and_an_emptied_queue(show: Figures) -> None:
    """1 500 events; the queue is emptied, a worker is killed, then Postgres.

    In this order: what a killed worker had read and not committed is still in the queue, unless that is emptied too before
    another worker has claimed it. Two faults on one event are more than is promised.
    """
    await _run([faults.flush_queue, faults.kill_worker, faults.kill_postgres], total=_SHORT, show=show)


@pytest.mark.long
@pytest.mark.parametrize("fault", [*FAULTS, faults.move_clocks])
async def test_5000_events_survive(fault: Fault, show: Figures) -> None:
    """One fault at a random moment in the middle of 5 000 events."""
    await _run([fault], total=_FULL, show=show)


@pytest.mark.long
@pytest.mark.timeout(1_500)
async def test_ten_minutes_with_a_fault_every_25_seconds(show: Figures) -> None:
    """500 events a second; kills, restarts, pauses and an emptied queue in random order, and no growth of memory."""
    random = Random(_seed())
    seconds = int(os.environ.get("CAUSEWAY_CHAOS_SOAK_SECONDS") or _SOAK_SECONDS)
    count = max(1, seconds // _SOAK_FAULT_EVERY_SECONDS)
    kinds = [*FAULTS]
    random.shuffle(kinds)
    # Each kind once, as far as there is time for it, and then any.
    broken = [*kinds[:count], *random.choices(kinds, k=max(0, count - len(kinds)))]
    random.shuffle(broken)
    share = 1 / (count + 1)
    moments = [share * (number + random.uniform(0.8, 1.2)) for number in range(count)]
    total = seconds * _SOAK_EVENTS_PER_SECOND
    await _run(broken, total=total, show=show, moments=moments, events_per_second=_SOAK_EVENTS_PER_SECOND)


async def _run(
    broken: Sequence[Fault],
    *,
    total: int,
    show: Figures,
    moments: Sequence[float] | None = None,
    events_per_second: int = EVENTS_PER_SECOND,
) -> None:
    seed = _seed()
    random = Random(seed)
    moments = moments or sorted(random.uniform(0.25, 0.75) for _ in broken)
    async with (
        running_stack(CAUSEWAY_DISPATCHER_WORKERS="2", movable_clock=True) as stack,
        receiver_process(clock_path=stack.clock_path) as receiver,
    ):
        load = Load(stack, receiver, total=total, run=f"chaos-{seed}", events_per_second=events_per_second)
        await load.register()
        started_at = time.monotonic()
        publishing = asyncio.create_task(load.publish())
        happened: list[Happened] = []
        for moment, fault in zip(moments, broken, strict=True):
            await load.until_published(moment)
            before = load.published.ids()
            happened.append(await fault(stack, random))
            if fault is faults.flush_queue:
                await _until_accepted(stack, before - _never_read(load, happened))
        await publishing
        await _until_read(stack)
        expected = load.published.ids() - _never_read(load, happened)
        lost = load.published.ids() - await _until_accepted(stack, expected)
        # A publisher that must be sure publishes again what the queue lost; the ids make that harmless.
        await load.publish_to_stream(int(event_id.rpartition("-")[2]) for event_id in sorted(lost))
        await _until_settled(stack, total=total)
        books = await read_books(stack, receiver, load)
        memory = {name: stack.rss_mib(name) for name in stack.info()["processes"] if name.startswith("webhook")}
        show(
            seed=seed,
            moments=[round(moment, 2) for moment in moments],
            **figures(load, books, happened, started_at=started_at),
            **{f"memory of {name} (MiB)": mib for name, mib in memory.items()},
        )
        judge(load, books, happened)
        assert max(memory.values()) < _RSS_MIB_MAX, memory


async def _until_read(stack: StackProcess) -> None:
    """Wait until nothing is left on the stream."""
    queue = stack.info()["queue"]
    async with asyncio.timeout(_SETTLE_SECONDS), Redis.from_url(queue["url"]) as client:
        while await client.xlen(queue["stream"]):  # noqa: ASYNC110 - other processes empty it
            await asyncio.sleep(_POLL_SECONDS)


async def _until_accepted(stack: StackProcess, expected: set[str]) -> set[str]:
    """Wait until all that were accepted are in the database; what a worker has read may still wait for its commit.

    Returns the ids that are there. Fails naming those that never come.
    """
    database = await asyncpg.connect(stack.info()["databases"]["webhook-dispatcher"])
    statement = (
        "SELECT wanted.name FROM unnest($1::text[]) AS wanted (name)"
        " WHERE NOT EXISTS (SELECT 1 FROM event_keys k WHERE k.event_id = wanted.name)"
    )
    missing = sorted(expected)
    try:
        async with asyncio.timeout(_ACCEPTED_SECONDS):
            while missing := [row["name"] for row in await database.fetch(statement, missing)]:  # noqa: ASYNC110 - see above
                await asyncio.sleep(_POLL_SECONDS)
        return {row["event_id"] for row in await database.fetch("SELECT event_id FROM event_keys")}
    except TimeoutError:
        raise AssertionError(f"{len(missing)} events accepted and lost, such as {missing[:10]}") from None
    finally:
        await database.close()


def _never_read(load: Load, happened: Sequence[Happened]) -> set[str]:
    """Return what the queue lost before a worker had read it, which therefore was not accepted."""
    unread: set[str] = set().union(*(item.lost_unread for item in happened))
    for item in happened:
        if item.unread_since is not None:
            late = ((event_id, at) for event_id, at in load.published.to_stream.items())
            unread |= {event_id for event_id, at in late if item.unread_since <= at <= item.unread_until}
    return unread


async def _until_settled(stack: StackProcess, *, total: int) -> None:
    """Wait until every event is in the database and no delivery is outstanding."""
    database = await asyncpg.connect(stack.info()["databases"]["webhook-dispatcher"])
    counts = None
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            while counts != (total, 0):
                await asyncio.sleep(_SETTLE_POLL_SECONDS)
                row = await database.fetchrow(
                    "SELECT (SELECT count(*) FROM events WHERE type NOT LIKE 'webhook.%') AS events,"
                    " (SELECT count(*) FROM deliveries) AS outstanding"
                )
                counts = (row["events"], row["outstanding"])
    except TimeoutError:
        raise TimeoutError(f"events and outstanding deliveries stay at {counts}:\n{stack.log()[-3000:]}") from None
    finally:
        await database.close()
