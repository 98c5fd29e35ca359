"""Nothing stays pending for a webhook that was deleted."""

import asyncio
import json
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from support.engine import Dispatcher, event
from support.receiver import Answer
from webhook_dispatcher.deliveries import repository as deliveries
from webhook_dispatcher.webhooks import clearing

pytestmark = pytest.mark.usefixtures("engine")

_LONG_AGO = "UPDATE webhooks SET deleted_at = now() - interval '1 day', updated_at = now() - interval '1 day'"


async def test_an_attempt_that_fails_long_after_the_delete_ends_its_delivery(dispatcher: Dispatcher) -> None:
    """What was in flight at the delete is cancelled when it fails, with its attempt, and not kept for a retry."""
    hook = await dispatcher.new_hook()
    hook.answers = [Answer(hold=True)]
    [event_id] = await dispatcher.publish(event())
    await hook.until_received(1)
    await _delete(dispatcher, hook.webhook_id)
    await dispatcher.database.execute(_LONG_AGO)
    hook.release(Answer(status=500))
    await dispatcher.until_settled(events=1)
    delivery = await dispatcher.delivery(event_id)
    assert (delivery["status"], delivery["attempts"], delivery["last_response_status"]) == ("cancelled", 1, 500)
    assert [attempt["outcome"] for attempt in delivery["attempt_log"]] == ["failed"]
    assert (await dispatcher.ledger())["cancelled"] == 1


async def test_what_becomes_pending_after_the_delete_is_cancelled(dispatcher: Dispatcher) -> None:
    """However long ago the delete was: a worker that was lost, or an event accepted meanwhile, leaves such deliveries."""
    hook = await dispatcher.new_hook()
    await _delete(dispatcher, hook.webhook_id)
    await dispatcher.database.execute(_LONG_AGO)
    await dispatcher.database.execute(
        """
        INSERT INTO deliveries (id, webhook_id, event, tenant_id, environment, next_attempt_at)
        SELECT uuidv7(), id, uuidv7(), tenant_id, environment, now() + make_interval(hours => hours)
        FROM webhooks, generate_series(0, 4) AS hours WHERE id = $1
        """,
        typeids.decode("wh", hook.webhook_id),
    )
    await dispatcher.until_settled(events=0)
    cancelled = await dispatcher.database.fetchval("SELECT count(*) FROM delivery_history WHERE status = 'cancelled'")
    assert (cancelled, hook.received) == (5, [])


async def _delete(dispatcher: Dispatcher, webhook_id: str) -> None:
    async with asyncio.timeout(10):
        answer = await dispatcher.api.delete(f"/v1/webhooks/{webhook_id}")
    assert answer.status_code == 204, answer.text


_MANY = """
    INSERT INTO deliveries (id, webhook_id, event, tenant_id, environment, next_attempt_at)
    SELECT uuidv7(), id, uuidv7(), tenant_id, environment, now() + interval '1 hour' FROM webhooks, generate_series(1, $2)
    WHERE id = $1
"""


@pytest.mark.parametrize("way", ["delete", "skip"])
async def test_very_much_is_cancelled_in_steps(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """No step takes more than its part, all of it is cancelled, and the audit entry counts it."""
    steps: list[int] = []
    cancel = deliveries.cancel_pending_of

    async def noted(session: AsyncSession, *, webhook_id: UUID, limit: int) -> int:
        steps.append(await cancel(session, webhook_id=webhook_id, limit=limit))
        return steps[-1]

    monkeypatch.setattr(deliveries, "cancel_pending_of", noted)
    monkeypatch.setattr(clearing, "STEP_MAX", 100)
    hook = await dispatcher.new_hook()
    await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/disable")
    await dispatcher.database.execute(_MANY, typeids.decode("wh", hook.webhook_id), 250)
    if way == "delete":
        await _delete(dispatcher, hook.webhook_id)
    else:
        await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/enable", {"pending": "skip"})
    assert steps == [100, 100, 50, 0]
    assert (await dispatcher.database.fetchval("SELECT count(*) FROM deliveries")) == 0
    told = await dispatcher.database.fetchval("SELECT changes FROM audit_entries ORDER BY id DESC LIMIT 1")
    assert json.loads(told)["deliveries_cancelled"] == 250


async def test_an_enabled_webhook_skips_nothing(dispatcher: Dispatcher) -> None:
    """What is owed to a webhook that was enabled all the time stays."""
    hook = await dispatcher.new_hook()
    await dispatcher.database.execute(_MANY, typeids.decode("wh", hook.webhook_id), 3)
    await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/enable", {"pending": "skip"})
    assert (await dispatcher.database.fetchval("SELECT count(*) FROM deliveries")) == 3
