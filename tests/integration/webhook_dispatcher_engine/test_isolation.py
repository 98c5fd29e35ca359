"""One destination's limits and troubles are its own."""

import itertools
import time

import pytest

from support.engine import Dispatcher, event, running_engine
from support.figures import Figures
from support.receiver import Answer, Hook

_OTHERS = 20
_ROUNDS = 10
_KYC = [f"kyc.approved.node.{node}" for node in range(1, 11)] + [
    f"transfer.approved.node.{node}" for node in range(1, 11)
]


@pytest.mark.usefixtures("engine")
async def test_a_hanging_destination_delays_nobody(dispatcher: Dispatcher, show: Figures) -> None:
    """A destination that accepts and never answers holds its own slots; 20 others are as fast as without it."""
    others = [await dispatcher.new_hook(events=[event_type]) for event_type in _KYC]
    await _latencies_ms(dispatcher, others, first=0)
    alone = await _latencies_ms(dispatcher, others, first=1_000)

    hanging = await dispatcher.new_hook(timeout_seconds=30)
    hanging.otherwise = Answer(hold=True)
    await dispatcher.publish(*(event(number) for number in range(500)))
    await hanging.until(lambda hook: hook.in_flight == 20)
    beside = await _latencies_ms(dispatcher, others, first=2_000)
    assert hanging.in_flight == hanging.in_flight_max == 20

    for title, latencies in (("alone", alone), ("beside a hanging one with 500 pending", beside)):
        show(run=title, p50_ms=round(_quantile(latencies, 0.5), 1), p99_ms=round(_quantile(latencies, 0.99), 1))
    assert len(beside) == _OTHERS * _ROUNDS
    # A machine that does other things at the same time may be twice as slow; a hanging slot would cost 30 s.
    assert _quantile(beside, 0.5) < 2 * _quantile(alone, 0.5) + 20
    assert _quantile(beside, 0.99) < 2 * _quantile(alone, 0.99) + 200
    hanging.otherwise = Answer()
    hanging.release()
    await dispatcher.until_settled(events=500 + 3 * _OTHERS * _ROUNDS)


async def test_hanging_destinations_never_hold_all_slots(dispatcher: Dispatcher) -> None:
    """Three destinations that hang, each allowed more than the worker has, leave room for a fourth."""
    hanging = [await dispatcher.new_hook(max_in_flight=200) for _ in range(3)]
    for hook in hanging:
        hook.otherwise = Answer(hold=True)
    other = await dispatcher.new_hook(events=["kyc.*"])
    async with running_engine(dispatcher.settings.model_copy(update={"slots": 40})):
        await dispatcher.publish(*(event(number) for number in range(100)))
        await hanging[0].until(lambda _hook: all(hook.in_flight >= 6 for hook in hanging))
        for number in range(10):
            started = time.monotonic()
            await dispatcher.publish(event(number, type="kyc.rejected"))
            received = await other.until_received(number + 1)
            assert received[-1].at - started < 1
        assert sum(hook.in_flight for hook in hanging) < 40
        for hook in hanging:
            hook.otherwise = Answer()
            hook.release()
        await dispatcher.until_settled(events=110)


_LARGE = {"padding": "x" * 1_000_000}


@pytest.mark.parametrize("foreseen", [True, False])
async def test_large_payloads_of_a_hanging_destination_leave_room(dispatcher: Dispatcher, *, foreseen: bool) -> None:
    """90 payloads of 1 MB for a destination that hangs, also where only small ones came before: others pass them by."""
    hanging = await dispatcher.new_hook(max_in_flight=200, timeout_seconds=30)
    other = await dispatcher.new_hook(events=["kyc.*"])
    async with running_engine(dispatcher.settings):
        if not foreseen:
            # A limit that small payloads made meets large ones in one claim.
            await dispatcher.publish(*(event(number) for number in range(100)))
            await dispatcher.until_settled(events=100)
            await dispatcher.database.execute("UPDATE webhooks SET status = 'disabled' WHERE events <> '{kyc.*}'")
        before = len(hanging.received)
        hanging.otherwise = Answer(hold=True)
        for number in range(90):
            await dispatcher.publish(event(100 + number, data=_LARGE))
        if not foreseen:
            await dispatcher.database.execute("UPDATE webhooks SET status = 'enabled'")
        await hanging.until(lambda hook: hook.in_flight >= 30)
        for number in range(5):
            started = time.monotonic()
            await dispatcher.publish(event(number, type="kyc.rejected"))
            received = await other.until_received(number + 1)
            assert received[-1].at - started < 1.5
        assert hanging.in_flight <= 33
        hanging.otherwise = Answer()
        hanging.release()
        await dispatcher.until_settled(events=95 + before, seconds=60)
    assert len(hanging.ids()) == len(set(hanging.ids())) == 90 + before
    delivered = await dispatcher.database.fetchval(
        "SELECT count(*) FROM attempts WHERE number = 1 AND outcome = 'delivered'"
    )
    assert delivered == 95 + before


async def _latencies_ms(dispatcher: Dispatcher, hooks: list[Hook], *, first: int) -> list[float]:
    """Publish to each in turn, one event after the other; return how long each took to its destination."""
    latencies: list[float] = []
    numbers = itertools.count(first)
    for _ in range(_ROUNDS):
        for hook, event_type in zip(hooks, _KYC, strict=True):
            started = time.monotonic()
            await dispatcher.publish(event(next(numbers), type=event_type))
            received = await hook.until_received(len(hook.received) + (0 if _came_since(hook, started) else 1))
            latencies.append((received[-1].at - started) * 1000)
    return latencies


def _came_since(hook: Hook, started: float) -> bool:
    return bool(hook.received) and hook.received[-1].at > started


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@pytest.mark.usefixtures("engine")
async def test_max_in_flight_is_kept(dispatcher: Dispatcher) -> None:
    """Never more requests at once than the webhook allows, from the very first claim on."""
    hook = await dispatcher.new_hook(max_in_flight=2)
    hook.otherwise = Answer(delay_seconds=0.02)
    await dispatcher.publish(*(event(number) for number in range(30)))
    await hook.until_received(30)
    assert hook.in_flight_max == 2


@pytest.mark.usefixtures("engine")
async def test_rate_per_second_is_kept(dispatcher: Dispatcher) -> None:
    """After a burst of one second's worth requests start at the webhook's own rate."""
    hook = await dispatcher.new_hook(rate_per_second=10)
    await dispatcher.publish(*(event(number) for number in range(30)))
    times = [received.at for received in await hook.until_received(30)]
    # 30 requests at 10 a second, 10 of them at once, take two seconds.
    assert 1.9 <= times[-1] - times[0] <= 4
    in_any_second = max(sum(start <= moment < start + 1 for moment in times) for start in times)
    assert in_any_second <= 20
