"""Under load, processes are killed and the queue is emptied: nothing accepted is lost, only what was in flight is doubled.

``CAUSEWAY_CHAOS_SEED`` repeats the random moments of a run; each run prints its seed.
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
from chaos.load import Load
from chaos.verdict import figures, judge, read_books
from support.figures import Figures
from support.receiver_process import receiver_process
from support.stack import StackProcess, running_stack

_FULL = 5_000
_SHORT = 1_500
_SETTLE_SECONDS = 120
_ACCEPTED_SECONDS = 30
_POLL_SECONDS = 0.2
_LATE_WRITE_SECONDS = 3.0
"""With ``appendfsync everysec`` Valkey may answer up to two seconds before it hands an addition to the system."""


def _seed() -> int:
    return int(os.environ.get("CAUSEWAY_CHAOS_SEED") or Random().randrange(1_000_000))


async def test_a_short_run_survives_a_worker_postgres_and_an_emptied_queue(show: Figures) -> None:
    """1 500 events; the queue is emptied, a worker is killed, then Postgres.

    In this order: what a killed worker had read and not committed is still in the queue, unless that is emptied too before
    another worker has claimed it. Two faults on one event are more than is promised.
    """
    await _run([faults.flush_queue, faults.kill_worker, faults.kill_postgres], total=_SHORT, show=show)


@pytest.mark.long
@pytest.mark.parametrize(
    "fault", [faults.kill_worker, faults.kill_api, faults.kill_postgres, faults.kill_valkey, faults.flush_queue]
)
async def test_5000_events_survive(fault: Fault, show: Figures) -> None:
    """One fault at a random moment in the middle of 5 000 events."""
    await _run([fault], total=_FULL, show=show)


async def _run(broken: Sequence[Fault], *, total: int, show: Figures) -> None:
    seed = _seed()
    random = Random(seed)
    moments = sorted(random.uniform(0.25, 0.75) for _ in broken)
    async with running_stack(CAUSEWAY_DISPATCHER_WORKERS="2") as stack, receiver_process() as receiver:
        load = Load(stack, receiver, total=total, run=f"chaos-{seed}")
        await load.register()
        started_at = time.monotonic()
        publishing = asyncio.create_task(load.publish())
        happened: list[Happened] = []
        for moment, fault in zip(moments, broken, strict=True):
            await load.until_published(moment)
            before = load.published.ids()
            fault_at = time.monotonic()
            happened.append(await fault(stack, random))
            if fault is faults.flush_queue:
                await _until_accepted(stack, before - _never_read(load, happened, fault_at=fault_at))
        await publishing
        await _until_read(stack)
        expected = load.published.ids() - _never_read(load, happened, fault_at=fault_at)
        lost = load.published.ids() - await _until_accepted(stack, expected)
        # A publisher that must be sure publishes again what the queue lost; the ids make that harmless.
        await load.publish_to_stream(int(event_id.rpartition("-")[2]) for event_id in sorted(lost))
        await _until_settled(stack, total=total)
        books = await read_books(stack, receiver, load)
        show(
            seed=seed,
            moments=[round(moment, 2) for moment in moments],
            **figures(load, books, happened, started_at=started_at),
        )
        judge(load, books, happened)


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
    missing = expected
    try:
        async with asyncio.timeout(_ACCEPTED_SECONDS):
            while True:
                there = {row["event_id"] for row in await database.fetch("SELECT event_id FROM events")}
                missing = expected - there
                if not missing:
                    return there
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"{len(missing)} events accepted and lost, such as {sorted(missing)[:10]}") from None
    finally:
        await database.close()


def _never_read(load: Load, happened: Sequence[Happened], *, fault_at: float) -> set[str]:
    """Return what the queue lost before a worker had read it, which therefore was not accepted."""
    unread: set[str] = set().union(*(item.lost_unread for item in happened))
    if any("valkey" in item.name for item in happened):
        late = fault_at - _LATE_WRITE_SECONDS
        unread |= {event_id for event_id, at in load.published.to_stream.items() if late <= at <= fault_at}
    return unread


async def _until_settled(stack: StackProcess, *, total: int) -> None:
    """Wait until every event is in the database and no delivery is outstanding."""
    database = await asyncpg.connect(stack.info()["databases"]["webhook-dispatcher"])
    counts = None
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            while counts != (total, 0):
                await asyncio.sleep(_POLL_SECONDS)
                row = await database.fetchrow(
                    "SELECT (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM deliveries) AS outstanding"
                )
                counts = (row["events"], row["outstanding"])
    except TimeoutError:
        raise TimeoutError(f"events and outstanding deliveries stay at {counts}:\n{stack.log()[-3000:]}") from None
    finally:
        await database.close()
