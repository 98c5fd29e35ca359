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
_POLL_SECONDS = 0.2
_LATE_WRITE_SECONDS = 3.0
"""With ``appendfsync everysec`` Valkey may answer up to two seconds before it hands an addition to the system."""


def _seed() -> int:
    return int(os.environ.get("CAUSEWAY_CHAOS_SEED") or Random().randrange(1_000_000))


async def test_a_short_run_survives_a_worker_postgres_and_an_emptied_queue(show: Figures) -> None:
    """1 500 events; a worker and Postgres are killed and the queue is emptied, one after the other."""
    await _run([faults.kill_worker, faults.flush_queue, faults.kill_postgres], total=_SHORT, show=show)


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
            fault_at = time.monotonic()
            happened.append(await fault(stack, random))
        await publishing
        lost = await _until_read(stack, load)
        _explain(lost, load, happened, fault_at=fault_at)
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


async def _until_read(stack: StackProcess, load: Load) -> set[str]:
    """Wait until the workers have read all of the stream; return what was published and is not in the database."""
    published = {*load.published.to_stream, *load.published.over_http}
    queue_url = stack.info()["queue"]["url"]
    async with asyncio.timeout(_SETTLE_SECONDS):
        while not await _is_read(queue_url, stack.info()["queue"]["stream"]):  # noqa: ASYNC110 - other processes empty it
            await asyncio.sleep(_POLL_SECONDS)
    database = await asyncpg.connect(stack.info()["databases"]["webhook-dispatcher"])
    rows = await database.fetch("SELECT event_id FROM events")
    await database.close()
    return published - {row["event_id"] for row in rows}


async def _is_read(queue_url: str, stream: str) -> bool:
    queue: Redis = Redis.from_url(queue_url)
    length = await queue.xlen(stream)
    await queue.aclose()
    return bool(length == 0)


def _explain(lost: set[str], load: Load, happened: Sequence[Happened], *, fault_at: float) -> None:
    """Fail if an event is missing that was accepted: answered over HTTP, or read from the stream by a worker."""
    unread: frozenset[str] = frozenset().union(*(item.lost_unread for item in happened))
    if any("valkey" in item.name for item in happened):
        unread |= {
            event_id
            for event_id, answered_at in load.published.to_stream.items()
            if fault_at - _LATE_WRITE_SECONDS <= answered_at <= fault_at
        }
    assert lost <= unread, f"accepted and lost: {sorted(lost - unread)[:10]}"


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
