"""What a destination gets, and what its answer leads to, with a real engine, database, queue and receiver."""

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest

from support.engine import Dispatcher, event
from support.receiver import Answer

pytestmark = pytest.mark.usefixtures("engine")


async def test_public_packages_accept_the_signature(dispatcher: Dispatcher) -> None:
    """A delivery is accepted by standardwebhooks and svix, and its history shows request and response."""
    hook = await dispatcher.new_hook()
    hook.answers = [Answer(status=202, headers=[("x-receipt", "42")], body=b"thank you")]
    [event_id] = await dispatcher.publish(event(id="payout-1", data={"amount": "10.50", "note": "é"}))
    [received] = await hook.until_received(1)

    assert received.verified == (True,)
    assert received.webhook_id == event_id == "payout-1"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"].startswith("Causeway/")
    body = json.loads(received.body)
    assert list(body) == ["id", "type", "timestamp", "subject", "data"]
    assert body["data"] == {"amount": "10.50", "note": "é"}

    delivery = await dispatcher.until_status(event_id, "delivered")
    [attempt] = delivery["attempt_log"]
    assert attempt["outcome"] == "delivered"
    assert attempt["request"]["body"].encode() == received.body
    assert dict(attempt["request"]["headers"])["webhook-signature"] == received.headers["webhook-signature"]
    assert (attempt["response"]["status"], attempt["response"]["body"]) == (202, "thank you")
    assert ["x-receipt", "42"] in attempt["response"]["headers"]


async def test_both_secrets_sign_during_a_rotation(dispatcher: Dispatcher) -> None:
    """During the overlap old and new secret both verify; once it has ended only the new one does."""
    hook = await dispatcher.new_hook()
    path = f"/v1/webhooks/{hook.webhook_id}/secret/rotate"
    hook.secrets.append((await dispatcher.call("POST", path, {"overlap_seconds": 3600}))["secret"])
    await dispatcher.publish(event(1))
    [received] = await hook.until_received(1)
    assert received.verified == (True, True)
    assert len(received.headers["webhook-signature"].split(" ")) == 2

    hook.secrets.append((await dispatcher.call("POST", path, {"overlap_seconds": 0}))["secret"])
    await dispatcher.publish(event(2))
    assert (await hook.until_received(2))[1].verified == (False, False, True)


async def test_retries_follow_the_schedule(dispatcher: Dispatcher) -> None:
    """Two failures, two delays of the webhook's own schedule with 10 % jitter, then success; the id stays the same."""
    hook = await dispatcher.new_hook(retry_delays_seconds=[1, 2])
    hook.answers = [Answer(status=500), Answer(status=404)]
    [event_id] = await dispatcher.publish(event())
    delivery = await dispatcher.until_status(event_id, "delivered")

    assert [attempt["outcome"] for attempt in delivery["attempt_log"]] == ["failed", "failed", "delivered"]
    assert [attempt["error_code"] for attempt in delivery["attempt_log"]] == ["http_500", "http_404", None]
    assert hook.ids() == [event_id] * 3
    assert all(item.verified == (True,) for item in hook.received)
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(hook.received)]
    # The lower bounds are the schedule's; the upper ones leave a busy machine a second.
    assert 0.9 <= gaps[0] <= 2.1
    assert 1.8 <= gaps[1] <= 3.2


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured(dispatcher: Dispatcher, status: int) -> None:
    """The next attempt waits as long as the destination asks, beyond the schedule's own delay."""
    hook = await dispatcher.new_hook(retry_delays_seconds=[1])
    hook.answers = [Answer(status=status, headers=[("retry-after", "120")])]
    [event_id] = await dispatcher.publish(event())
    asked_at = datetime.now(UTC)
    await hook.until_received(1)
    while not (await dispatcher.delivery(event_id))["attempt_log"]:
        pass
    # Asked again: an answer may show the delivery as it was before the attempt that it shows.
    delivery = await dispatcher.delivery(event_id)
    waits = datetime.fromisoformat(delivery["next_attempt_at"]) - asked_at
    assert timedelta(seconds=119) < waits < timedelta(seconds=140)
    assert delivery["status"] == "pending"


async def test_410_of_an_address_that_was_changed_meanwhile_disables_nothing(dispatcher: Dispatcher) -> None:
    """The old address says that it is gone after the webhook has got another: that one gets what is owed, and is asked on."""
    hook = await dispatcher.new_hook()
    moved = dispatcher.receiver.hook("moved")
    hook.otherwise = Answer(status=410, delay_seconds=1.0)
    [asked] = await dispatcher.publish(event(1))
    await hook.until_received(1)
    await dispatcher.call("PATCH", f"/v1/webhooks/{hook.webhook_id}", {"url": moved.url})
    while not (await dispatcher.delivery(asked))["attempt_log"]:
        pass
    assert (await dispatcher.call("GET", f"/v1/webhooks/{hook.webhook_id}"))["enabled"]
    [later] = await dispatcher.publish(event(2))
    assert {received.webhook_id for received in await moved.until_received(2)} == {asked, later}


async def test_410_disables_and_holds(dispatcher: Dispatcher) -> None:
    """410 Gone disables the webhook at once; its deliveries are held, and arrive when it is enabled again."""
    hook = await dispatcher.new_hook()
    hook.answers = [Answer(status=410)]
    [gone] = await dispatcher.publish(event(1))
    delivery = await dispatcher.until_status(gone, "held")
    webhook = await dispatcher.call("GET", f"/v1/webhooks/{hook.webhook_id}")
    assert (webhook["enabled"], webhook["disabled_reason"]) == (False, "the destination answered 410 Gone")
    assert delivery["last_response_status"] == 410

    [later] = await dispatcher.publish(event(2))
    assert (await dispatcher.delivery(later))["status"] == "held"
    assert (await dispatcher.ledger())["held"] == 2
    await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/enable")
    await dispatcher.until_settled(events=2)
    assert sorted(hook.ids()[1:]) == sorted([gone, later])


async def test_the_last_attempt_decides(dispatcher: Dispatcher) -> None:
    """When the schedule is used up the delivery has failed; resending it starts the schedule anew, under the same id."""
    hook = await dispatcher.new_hook(retry_delays_seconds=[1])
    hook.answers = [Answer(status=500), Answer(status=500)]
    [event_id] = await dispatcher.publish(event())
    delivery = await dispatcher.until_status(event_id, "failed")
    assert len(delivery["attempt_log"]) == 2
    assert (await dispatcher.ledger())["failed"] == 1

    await dispatcher.call("POST", f"/v1/deliveries/{delivery['id']}/resend", status=202)
    await dispatcher.until_status(event_id, "delivered")
    assert hook.ids() == [event_id] * 3
    assert len({item.body for item in hook.received}) == 1
    assert await dispatcher.ledger() | {"accepted": 1, "delivered": 1, "failed": 0} == await dispatcher.ledger()


async def test_redirects_are_not_followed(dispatcher: Dispatcher) -> None:
    """A redirect is a failure like any other; nothing is sent where it points."""
    elsewhere = dispatcher.receiver.hook("elsewhere")
    hook = await dispatcher.new_hook(retry_delays_seconds=[])
    hook.answers = [Answer(status=307, headers=[("location", elsewhere.url)])]
    [event_id] = await dispatcher.publish(event())
    delivery = await dispatcher.until_status(event_id, "failed")
    assert delivery["last_response_status"] == 307
    assert elsewhere.received == []


async def test_16_kib_of_a_response_are_kept(dispatcher: Dispatcher) -> None:
    """A success with a large body is a success; the history keeps 16 KiB of it and says so."""
    hook = await dispatcher.new_hook()
    hook.answers = [Answer(body=b"x" * (1 << 20))]
    [event_id] = await dispatcher.publish(event())
    delivery = await dispatcher.until_status(event_id, "delivered")
    response = delivery["attempt_log"][0]["response"]
    assert (len(response["body"]), response["truncated"]) == (16 * 1024, True)


async def test_what_was_delivered_can_be_sent_again(dispatcher: Dispatcher) -> None:
    """Resending keeps webhook-id and body, so that a receiver recognises it; not while the webhook is disabled."""
    hook = await dispatcher.new_hook()
    [event_id] = await dispatcher.publish(event())
    delivery = await dispatcher.until_status(event_id, "delivered")
    await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/disable")
    await dispatcher.call("POST", f"/v1/deliveries/{delivery['id']}/resend", status=409)
    await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/enable")

    await dispatcher.call("POST", f"/v1/deliveries/{delivery['id']}/resend", status=202)
    first, second = await hook.until_received(2)
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
    assert len((await dispatcher.until_status(event_id, "delivered"))["attempt_log"]) == 2


async def test_a_test_event_is_marked(dispatcher: Dispatcher) -> None:
    """A test event goes to the one webhook, whatever it selects, and is marked in header and signed body."""
    hook = await dispatcher.new_hook(events=["kyc.*"])
    other = await dispatcher.new_hook(events=["withdrawal.*"])
    made = await dispatcher.call(
        "POST", f"/v1/webhooks/{hook.webhook_id}/test", {"event_type": "withdrawal.approved.node.2"}, status=202
    )
    [received] = await hook.until_received(1)
    assert received.webhook_id == made["event_id"]
    assert received.headers["webhook-test"] == "true"
    assert json.loads(received.body)["test"] is True
    assert received.verified == (True,)
    assert (await dispatcher.until_status(made["event_id"], "delivered"))["test"] is True
    assert other.received == []


async def test_disabled_webhooks_hold(dispatcher: Dispatcher) -> None:
    """While a webhook is disabled its deliveries are held; enabling sends them in order, or cancels them with skip."""
    hook = await dispatcher.new_hook(max_in_flight=1)
    await dispatcher.publish(event(0))
    await hook.until_received(1)
    await dispatcher.until_settled(events=1)
    await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/disable")
    held = [(await dispatcher.publish(event(number)))[0] for number in range(1, 6)]
    assert (await dispatcher.ledger())["held"] == 5
    # The engine looks each second, and another webhook's delivery shows that it has looked since.
    other = await dispatcher.new_hook(events=["kyc.*"])
    await dispatcher.publish(event(9, type="kyc.rejected"))
    await other.until_received(1)
    assert len(hook.received) == 1

    await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/enable", {"pending": "deliver"})
    await hook.until_received(6)
    assert hook.ids()[1:] == held

    await dispatcher.until_settled(events=7)
    await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/disable")
    skipped = (await dispatcher.publish(event(10)))[0]
    await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/enable", {"pending": "skip"})
    assert (await dispatcher.delivery(skipped))["status"] == "cancelled"
    [after] = await dispatcher.publish(event(11))
    await hook.until_received(7)
    assert hook.ids()[6:] == [after]
    assert (await dispatcher.ledger())["cancelled"] == 1


async def test_any_bytes_in_a_response_can_be_kept(dispatcher: Dispatcher) -> None:
    """Headers and body that are no UTF-8, or hold a NUL, are recorded like any other; the delivery is not repeated."""
    hook = await dispatcher.new_hook()
    hook.answers = [Answer(headers=[("x-city", "Z\xfcrich"), ("x-note", "tab\there")], body=b"\x00\xff\xfe")]
    [event_id] = await dispatcher.publish(event())
    delivery = await dispatcher.until_status(event_id, "delivered")
    [attempt] = delivery["attempt_log"]
    assert attempt["response"]["status"] == 200
    assert "x-city" in dict(attempt["response"]["headers"])
    assert len(hook.received) == 1
