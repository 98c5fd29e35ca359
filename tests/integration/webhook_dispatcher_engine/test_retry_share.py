"""A storm of due retries never starves first attempts, of the same webhook or of others."""

from itertools import pairwise

from support.engine import Dispatcher, event, running_engine, until
from support.receiver import Answer, Hook


async def _due_retries(dispatcher: Dispatcher, count: int, **fields: str) -> set[str]:
    """Publish events whose deliveries have failed before, and are due again; no worker runs yet."""
    ids = await dispatcher.publish(*(event(number, **fields) for number in range(count)))
    await dispatcher.database.execute("UPDATE deliveries SET failures = 1, attempts = 1 WHERE failures = 0")
    return set(ids)


async def test_retries_that_hang_leave_half_of_a_webhooks_slots(dispatcher: Dispatcher) -> None:
    """100 retries due that all hang hold five of ten slots; 50 new deliveries of the same webhook pass them by."""
    hook = await dispatcher.new_hook(max_in_flight=10, timeout_seconds=30)
    retries = await _due_retries(dispatcher, 100)
    hook.choose = lambda received: Answer(hold=True) if received.webhook_id in retries else Answer()
    async with running_engine(dispatcher.settings):
        await hook.until(lambda hook: hook.in_flight == 5)
        new = set(await dispatcher.publish(*(event(1000 + number) for number in range(50))))
        await hook.until(lambda hook: new <= set(hook.ids()))
        assert hook.in_flight == 5
        hook.choose = None
        hook.release()
        await dispatcher.until_settled(events=150)
    assert len(hook.ids()) == len(set(hook.ids())) == 150


async def test_retries_of_many_webhooks_leave_half_of_a_workers_slots(dispatcher: Dispatcher) -> None:
    """30 webhooks with retries that hang hold 10 of 20 slots; what is sent for the first time elsewhere does not wait."""
    hanging = [await dispatcher.new_hook(timeout_seconds=30) for _ in range(30)]
    for hook in hanging:
        hook.otherwise = Answer(hold=True)
    other = await dispatcher.new_hook(events=["kyc.*"], max_in_flight=5)
    await _due_retries(dispatcher, 5)
    async with running_engine(dispatcher.settings.model_copy(update={"slots": 20})):
        await until(lambda: _in_flight_is(hanging, 10), what="the retries' share is held")
        for number in range(20):
            await dispatcher.publish(event(number, type="kyc.rejected"))
        await other.until_received(20, seconds=5)
        assert sum(hook.in_flight for hook in hanging) == 10
        for hook in hanging:
            hook.otherwise = Answer()
            hook.release()
        await dispatcher.until_settled(events=25)
    assert sum(len(hook.ids()) for hook in hanging) == 150


async def _in_flight_is(hooks: list[Hook], count: int) -> bool:
    return sum(hook.in_flight for hook in hooks) == count


async def test_with_a_single_slot_they_take_turns(dispatcher: Dispatcher) -> None:
    """One request at a time: 20 retries and 20 first attempts, one of each in turn, and no tick is waited for."""
    hook = await dispatcher.new_hook(max_in_flight=1)
    retries = await _due_retries(dispatcher, 20)
    await dispatcher.publish(*(event(1000 + number) for number in range(20)))
    async with running_engine(dispatcher.settings):
        received = await hook.until_received(40)
    kinds = [item.webhook_id in retries for item in received]
    assert all(one != next_one for one, next_one in pairwise(kinds)), kinds
    assert received[-1].at - received[0].at < 5
    assert hook.in_flight_max == 1


async def test_a_storm_of_retries_alone_is_sent_without_waiting_for_a_tick(dispatcher: Dispatcher) -> None:
    """400 retries of 20 webhooks, more than the worker's share at once: each that ends lets the next one start."""
    hooks = [await dispatcher.new_hook(max_in_flight=4) for _ in range(20)]
    await _due_retries(dispatcher, 20)
    async with running_engine(dispatcher.settings.model_copy(update={"slots": 8})):
        await hooks[0].until_received(1)
        await dispatcher.until_settled(events=20, seconds=15)
    times = sorted(item.at for hook in hooks for item in hook.received)
    assert len(times) == 400
    # Waiting for the look of each second after each share of four would take 100 s.
    assert times[-1] - times[0] < 10
