"""What was held arrives in order when its webhook is enabled again, and the destination is not run over."""

import pytest

from support.engine import Dispatcher, event, running_engine
from support.receiver import Answer


@pytest.mark.parametrize("known", [True, False])
async def test_held_events_arrive_in_order(dispatcher: Dispatcher, *, known: bool) -> None:
    """30 held deliveries are sent one at a time, oldest first, by a worker that knew the webhook before or did not."""
    hook = await dispatcher.new_hook(max_in_flight=20)
    path = f"/v1/webhooks/{hook.webhook_id}"
    async with running_engine(dispatcher.settings):
        if known:
            await dispatcher.publish(*(event(number) for number in range(5)))
            await dispatcher.until_settled(events=5)
        before = len(hook.received)
        await dispatcher.call("POST", f"{path}/disable")
        held = [(await dispatcher.publish(event(100 + number)))[0] for number in range(30)]
        assert (await dispatcher.ledger())["held"] == 30
        hook.otherwise = Answer(delay_seconds=0.01)
        hook.in_flight_max = 0
        await dispatcher.call("POST", f"{path}/enable", {"pending": "deliver"})
        await dispatcher.until_settled(events=before + 30)
        assert hook.ids()[before:] == held
        assert hook.in_flight_max == 1


async def test_the_ramp_rises_to_the_limit(dispatcher: Dispatcher) -> None:
    """Of a long backlog more and more is sent at once, and never more than the webhook's own limit."""
    hook = await dispatcher.new_hook(max_in_flight=3)
    path = f"/v1/webhooks/{hook.webhook_id}"
    async with running_engine(dispatcher.settings):
        await dispatcher.call("POST", f"{path}/disable")
        for first in range(0, 300, 100):
            await dispatcher.publish(*(event(first + number) for number in range(100)))
        hook.otherwise = Answer(delay_seconds=0.005)
        await dispatcher.call("POST", f"{path}/enable", {"pending": "deliver"})
        await hook.until_received(100)
        assert hook.in_flight_max == 1
        await dispatcher.until_settled(events=300)
        assert hook.in_flight_max == 3
