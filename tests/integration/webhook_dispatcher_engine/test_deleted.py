"""Nothing stays pending for a webhook that was deleted."""

import asyncio

import pytest

from shared import typeids
from support.engine import Dispatcher, event
from support.receiver import Answer

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
