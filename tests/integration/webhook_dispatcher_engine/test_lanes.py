"""Who owns a lane may send, and only the owner's outcomes count."""

import asyncio
import math
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import Database
from support.engine import Dispatcher, WorkerProcess, event, running_engine, until, worker_process
from support.receiver import Answer, Hook
from webhook_dispatcher.lanes import repository
from webhook_dispatcher.lanes.lane import LANE_COUNT
from webhook_dispatcher.lanes.leases import Leases
from webhook_dispatcher.lanes.repository import Claimed
from webhook_dispatcher.settings import Settings

_SHARE_OF_THREE = 22
# Where no worker is lost: a lease that a busy machine does not let run out.
_CALM_LEASE_SECONDS = 30.0
# It takes at most 8 s where the machine is idle.
_STOP_SECONDS_MAX = 30


@pytest.fixture
def calm(dispatcher: Dispatcher) -> Settings:
    """Return settings of workers that keep their lanes however late they are to renew them."""
    return dispatcher.settings.model_copy(update={"lease_seconds": _CALM_LEASE_SECONDS})


async def test_a_paused_worker_is_fenced_off(dispatcher: Dispatcher, tmp_path: Path) -> None:
    """A worker that is paused past its lease comes back with an outcome: it is not written, its successor's is, once."""
    hook = await dispatcher.new_hook()
    hook.answers = [Answer(hold=True), Answer(hold=True)]
    async with worker_process(dispatcher.settings, tmp_path) as paused:
        await _until_lanes(dispatcher, [LANE_COUNT])
        [event_id] = await dispatcher.publish(event())
        await hook.until_received(1)
        paused.process.send_signal(signal.SIGSTOP)

        async with running_engine(dispatcher.settings) as _successor:
            await hook.until_received(2)
            delivery = await dispatcher.delivery(event_id)
            assert (delivery["status"], delivery["attempts"]) == ("in_flight", 2)
            [lost] = delivery["attempt_log"]
            assert (lost["number"], lost["outcome"], lost["error_code"]) == (1, "unknown", "worker_lost")

            paused.process.send_signal(signal.SIGCONT)
            hook.release(count=1)
            await until(lambda: _said(paused, "records.fenced"), what="the late outcome is fenced off")
            assert (await dispatcher.delivery(event_id))["status"] == "in_flight"
            hook.release()
            delivery = await dispatcher.until_status(event_id, "delivered")
    assert [attempt["outcome"] for attempt in delivery["attempt_log"]] == ["unknown", "delivered"]
    assert hook.ids() == [event_id, event_id]
    assert await dispatcher.database.fetchval("SELECT count(*) FROM delivery_history") == 1
    assert (await dispatcher.ledger())["delivered"] == 1


async def test_what_was_claimed_before_a_standstill_is_not_sent_after_it(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease ran out between the claim and the request: others may have sent this one and later ones, so it goes back."""
    hook = await dispatcher.new_hook()
    claim = repository.claim

    async def claim_and_stand_still(connection: AsyncConnection, **asked: Any) -> Sequence[Claimed]:
        claimed = await claim(connection, **asked)
        if claimed:
            lapsed.setattr(engine._leases, "_valid_until", -math.inf)
            lapsed.setattr(engine._leases, "renew", AsyncMock(return_value=False))
        return claimed

    async with running_engine(dispatcher.settings) as engine:
        with monkeypatch.context() as lapsed:
            lapsed.setattr(repository, "claim", claim_and_stand_still)
            await dispatcher.publish(event(1, id="e1"))
            await until(lambda: dispatcher.database.fetchval("SELECT count(*) FROM attempts"), what="it goes back")
            assert hook.ids() == []
        await hook.until_received(1)
        await dispatcher.until_settled(events=1)
    attempts = (await dispatcher.delivery("e1"))["attempt_log"]
    assert [attempt["error_code"] for attempt in attempts] == ["lease_expired", None]


async def _said(worker: WorkerProcess, text: str) -> bool:
    return text in worker.log()


async def test_a_killed_worker_is_succeeded(dispatcher: Dispatcher, tmp_path: Path) -> None:
    """What a killed worker had in flight is sent again, noted as unknown; what it had not claimed is sent once."""
    hook = await dispatcher.new_hook(max_in_flight=3)
    hook.answers = [Answer(hold=True)] * 3
    async with worker_process(dispatcher.settings, tmp_path) as killed:
        await _until_lanes(dispatcher, [LANE_COUNT])
        ids = await dispatcher.publish(*(event(number) for number in range(10)))
        await hook.until_received(3)
        killed.process.kill()
        await killed.process.wait()
        async with running_engine(dispatcher.settings):
            await dispatcher.until_settled(events=10)
    times = Counter(hook.ids())
    assert set(times) == set(ids)
    assert sorted(times.values()) == [1] * 7 + [2] * 3
    outcomes = await dispatcher.database.fetch("SELECT outcome, count(*) AS count FROM attempts GROUP BY outcome")
    assert {row["outcome"]: row["count"] for row in outcomes} == {"unknown": 3, "delivered": 10}
    assert (await dispatcher.ledger())["delivered"] == 10


async def test_sigterm_leaves_no_request_without_its_outcome(
    dispatcher: Dispatcher, calm: Settings, tmp_path: Path
) -> None:
    """A worker that stops waits for its requests; one that does not end in time is noted as unknown, and sent again."""
    slow, hanging = await dispatcher.new_hook(events=["kyc.*"]), await dispatcher.new_hook()
    slow.otherwise = Answer(delay_seconds=1)
    hanging.answers = [Answer(hold=True)]
    async with worker_process(calm, tmp_path) as stopped:
        await _until_lanes(dispatcher, [LANE_COUNT])
        [hung] = await dispatcher.publish(event())
        await hanging.until_received(1)
        answered = await dispatcher.publish(*(event(number, type="kyc.rejected") for number in range(5)))
        await slow.until_received(5)
        stopped.process.terminate()
        assert await asyncio.wait_for(stopped.process.wait(), _STOP_SECONDS_MAX) == 0
    assert await dispatcher.lanes() == {}
    for event_id in answered:
        assert (await dispatcher.delivery(event_id))["status"] == "delivered"
    [attempt] = (await dispatcher.delivery(hung))["attempt_log"]
    assert (attempt["outcome"], attempt["error_code"]) == ("unknown", "worker_stopped")
    async with running_engine(dispatcher.settings):
        await dispatcher.until_status(hung, "delivered")
    assert hanging.ids() == [hung, hung]
    assert sorted(slow.ids()) == sorted(answered)


async def test_lanes_spread_over_workers_without_duplicates(
    dispatcher: Dispatcher, calm: Settings, tmp_path: Path
) -> None:
    """Two workers share the lanes, a third gets its part and gives it back on SIGTERM, and nothing is sent twice."""
    hooks = [await dispatcher.new_hook() for _ in range(10)]
    publishing = asyncio.Event()
    async with running_engine(calm, name="a"), running_engine(calm, name="b"):
        load = asyncio.create_task(_publish_until(dispatcher, publishing))
        await _until_lanes(dispatcher, [LANE_COUNT // 2] * 2)
        async with worker_process(calm, tmp_path) as third:
            await until(lambda: _are_shared_by_three(dispatcher), what="three workers share the lanes")
            received = sum(len(hook.received) for hook in hooks)
            await until(lambda: _came(hooks, more_than=received + 100), what="the third worker is at work")
            third.process.terminate()
            assert await asyncio.wait_for(third.process.wait(), _STOP_SECONDS_MAX) == 0
        await _until_lanes(dispatcher, [LANE_COUNT // 2] * 2)
        publishing.set()
        ids = await load
        await dispatcher.until_settled(events=len(ids))
    for hook in hooks:
        assert Counter(hook.ids()) == dict.fromkeys(ids, 1)
    attempts = await dispatcher.database.fetchval("SELECT count(*) FROM attempts")
    assert attempts == len(ids) * len(hooks)
    assert (await dispatcher.ledger())["delivered"] == attempts


async def _publish_until(dispatcher: Dispatcher, enough: asyncio.Event) -> list[str]:
    ids: list[str] = []
    while not enough.is_set():
        ids += await dispatcher.publish(event(len(ids)), event(len(ids) + 1))
        await asyncio.sleep(0.02)  # the pace of the load, not a wait for anything
    return ids


async def _are_shared_by_three(dispatcher: Dispatcher) -> bool:
    lanes = await dispatcher.lanes()
    return len(lanes) == 3 and sum(lanes.values()) == LANE_COUNT and max(lanes.values()) <= _SHARE_OF_THREE


async def _came(hooks: list[Hook], *, more_than: int) -> bool:
    return sum(len(hook.received) for hook in hooks) > more_than


async def _until_lanes(dispatcher: Dispatcher, expected: list[int]) -> None:
    async def reached() -> bool:
        return sorted((await dispatcher.lanes()).values()) == expected

    await until(reached, what=f"the workers own {expected} lanes")


@pytest.fixture
async def database(dispatcher: Dispatcher) -> Database:
    return Database.open(dispatcher.settings.database_url, application_name="test", pool_size=2)


async def test_a_lease_that_ran_out_changes_hands_with_a_new_fence(dispatcher: Dispatcher, database: Database) -> None:
    """Nobody takes a lane under a running lease; past it another worker does, and the fence rises."""
    now = 0.0
    first, second = (Leases(database, name=name, lease_seconds=60, clock=lambda: now) for name in ("first", "second"))
    assert await first.renew(busy=())
    assert len(first.lanes) == LANE_COUNT
    await second.renew(busy=())
    assert second.lanes == frozenset()

    now = 60 * 0.8
    assert not first.are_valid()
    await dispatcher.database.execute("UPDATE lanes SET expires_at = now() - interval '1 second'")
    await dispatcher.database.execute("UPDATE workers SET seen_at = now() - interval '2 minutes' WHERE name = 'first'")
    fences = dict(await dispatcher.database.fetch("SELECT lane, fence FROM lanes"))
    assert await second.renew(busy=())
    assert len(second.lanes) == LANE_COUNT
    assert dict(await dispatcher.database.fetch("SELECT lane, fence - 1 FROM lanes")) == fences
    await first.renew(busy=())
    assert first.lanes == frozenset()
    await database.aclose()


async def test_a_busy_lane_is_not_given_up(dispatcher: Dispatcher, database: Database) -> None:
    """When another worker joins, a lane with something in flight stays until that has ended."""
    first, second = (Leases(database, name=name, lease_seconds=60) for name in ("first", "second"))
    await first.renew(busy=())
    await second.renew(busy=())
    everything = range(LANE_COUNT)
    await first.renew(busy=everything)
    assert len(first.lanes) == LANE_COUNT
    await first.renew(busy=())
    assert len(first.lanes) == LANE_COUNT // 2
    await second.renew(busy=())
    assert sorted((await dispatcher.lanes()).values()) == [LANE_COUNT // 2] * 2
    await database.aclose()


async def test_lanes_stay_where_they_were_after_the_database_was_away(
    dispatcher: Dispatcher, database: Database
) -> None:
    """All leases run out while the database is away; who is back first does not take what others are back for soon."""
    now = 0.0
    first, second = (Leases(database, name=name, lease_seconds=60, clock=lambda: now) for name in ("first", "second"))
    for leases in (first, second, first, second):
        await leases.renew(busy=())
    assert sorted((await dispatcher.lanes()).values()) == [LANE_COUNT // 2] * 2

    now = 61
    run_out = "UPDATE lanes SET expires_at = now() - interval '1 second'"
    await dispatcher.database.execute(run_out)
    await dispatcher.database.execute("UPDATE workers SET seen_at = now() - interval '2 minutes'")
    fences = dict(await dispatcher.database.fetch("SELECT lane, fence FROM lanes"))
    await second.renew(busy=())
    await first.renew(busy=())
    assert len(first.lanes) == len(second.lanes) == LANE_COUNT // 2
    assert dict(await dispatcher.database.fetch("SELECT lane, fence FROM lanes")) == fences

    # Who does not come back within a lease's time is succeeded as ever.
    await dispatcher.database.execute(run_out)
    await dispatcher.database.execute("UPDATE workers SET seen_at = now() - interval '2 minutes'")
    now = 61 + 59
    await second.renew(busy=())
    assert len(second.lanes) == LANE_COUNT // 2
    now = 61 + 60
    await second.renew(busy=())
    assert len(second.lanes) == LANE_COUNT
    await database.aclose()
