"""What a claim left behind whose answer never arrived is sent all the same, and once."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import typeids
from support.engine import Dispatcher, event, running_engine, until
from webhook_dispatcher.lanes import engine as engine_module
from webhook_dispatcher.lanes import repository
from webhook_dispatcher.lanes.lane import lane_of
from webhook_dispatcher.lanes.repository import Claimed


async def test_a_claim_whose_answer_is_lost_is_taken_back(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement was committed and the connection broke: nothing was sent, so no attempt is noted."""
    claim = repository.claim
    lost: list[Claimed] = []

    async def claim_and_lose(connection: AsyncConnection, **asked: Any) -> Sequence[Claimed]:
        claimed = await claim(connection, **asked)
        if claimed and not lost:
            lost.extend(claimed)
            raise ConnectionResetError
        return claimed

    monkeypatch.setattr(repository, "claim", claim_and_lose)
    hook = await dispatcher.new_hook()
    async with running_engine(dispatcher.settings):
        await dispatcher.publish(event(1, id="e1"))
        await dispatcher.until_settled(events=1)
    assert len(lost) == 1
    await _was_sent_once(dispatcher, hook.ids())


async def test_a_claim_that_is_committed_late_is_taken_back(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long after it was given up as lost, and looked for in vain."""
    monkeypatch.setattr(engine_module, "OVERVIEW_SECONDS", 0.5)
    hook = await dispatcher.new_hook()
    webhook_id = typeids.decode("wh", hook.webhook_id)
    await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/disable")
    async with running_engine(dispatcher.settings):
        await until(dispatcher.lanes, what="the lanes are owned")
        await dispatcher.publish(event(1, id="e1"))
        await dispatcher.database.execute(
            "UPDATE deliveries SET status = 'in_flight', attempts = 1, fence = (SELECT fence FROM lanes WHERE lane = $1)",
            lane_of(webhook_id),
        )
        await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/enable")
        await dispatcher.until_settled(events=1)
    await _was_sent_once(dispatcher, hook.ids())


async def _was_sent_once(dispatcher: Dispatcher, received: list[str]) -> None:
    assert received == ["e1"]
    attempts = (await dispatcher.delivery("e1"))["attempt_log"]
    assert [(attempt["number"], attempt["outcome"]) for attempt in attempts] == [(1, "delivered")]
