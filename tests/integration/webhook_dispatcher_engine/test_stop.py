"""A stop in the middle of a claim: what the claim brings is sent before the lanes are given up, or not at all."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from support.engine import Dispatcher, event, running_engine
from webhook_dispatcher.lanes import engine as engine_module
from webhook_dispatcher.lanes import repository
from webhook_dispatcher.lanes.repository import Claimed

_claim = repository.claim


class LateAnswers:
    """The database's answers to claims, which come when the test lets them."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.come = asyncio.Event()

    async def claim(self, connection: Any, **asked: Any) -> Sequence[Claimed]:
        """Claim, and keep the answer back if it brings work."""
        claimed = await _claim(connection, **asked)
        if claimed:
            self.waiting.set()
            await self.come.wait()
        return claimed


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> LateAnswers:
    """Return the answers, kept back until the test lets them come."""
    late = LateAnswers()
    monkeypatch.setattr(repository, "claim", late.claim)
    return late


async def test_a_stop_waits_for_the_claim_in_progress(dispatcher: Dispatcher, answers: LateAnswers) -> None:
    """What the claim brings is sent and recorded while the lanes are still ours."""
    hook = await dispatcher.new_hook()
    [event_id] = await dispatcher.publish(event())
    async with running_engine(dispatcher.settings) as engine:
        await answers.waiting.wait()
        stopping = asyncio.create_task(engine.stop())
        await asyncio.wait({stopping}, timeout=0.5)
        assert not stopping.done()
        answers.come.set()
        await stopping
        assert hook.ids() == [event_id]
        assert (await dispatcher.delivery(event_id))["status"] == "delivered"
        assert await dispatcher.lanes() == {}


async def test_a_claim_answered_after_the_stop_is_not_sent(
    dispatcher: Dispatcher, answers: LateAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the deadline the lanes are given up, and what comes then is left to their next owner, who sends it once."""
    monkeypatch.setattr(engine_module, "FINISH_SECONDS", 0.2)
    hook = await dispatcher.new_hook()
    [event_id] = await dispatcher.publish(event())
    async with running_engine(dispatcher.settings) as engine:
        await answers.waiting.wait()
        await engine.stop()
        answers.come.set()
        # Once more: this one waits until the late claim has ended, so that a request of its would be seen.
        await engine.stop()
        assert hook.received == []
    async with running_engine(dispatcher.settings):
        await dispatcher.until_status(event_id, "delivered")
    assert hook.ids() == [event_id]
