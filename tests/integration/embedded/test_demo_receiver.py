"""The demo's receiver is a judge: it takes what is signed and refuses the rest."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from embedded.demo import EVENTS_FILE, Progress, demo_events
from embedded.demo_receiver import Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = json.dumps({"id": "evt_1", "type": "withdrawal.rejected", "subject": "w6f1k8ub", "data": {}})


def _headers(body: str = BODY, *, event_id: str = "evt_1", age: timedelta = timedelta()) -> dict[str, str]:
    at = datetime.now(UTC) - age
    signature = Webhook(SECRET).sign(event_id, at, body)
    return {"webhook-id": event_id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def test_a_signed_delivery_is_verified_and_told() -> None:
    """Type and subject come from the verified body alone."""
    receiver = Receiver(SECRET)
    receipt = receiver.take(BODY.encode(), _headers())
    assert (receipt.verified, receipt.event_type, receipt.subject) == (True, "withdrawal.rejected", "w6f1k8ub")
    assert receiver.receipts_after(0) == [receipt]
    assert receiver.receipts_after(1) == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY + " ", _headers()),
        (BODY, _headers() | {"webhook-signature": "v1,AAAA"}),
        (BODY, _headers() | {"webhook-timestamp": "0"}),
        (BODY, _headers(age=timedelta(minutes=6))),
        (BODY, {}),
        (BODY, _headers(event_id="evt_2")),
        ("[1]", _headers("[1]")),
        ("{", _headers("{")),
    ],
    ids=["body changed", "signature", "time changed", "too old", "no headers", "another id", "no object", "no JSON"],
)
def test_anything_else_is_refused_with_a_reason(body: str, headers: dict[str, str]) -> None:
    """Nothing of an unverified body is believed."""
    receipt = Receiver(SECRET).take(body.encode(), headers)
    assert not receipt.verified
    assert receipt.reason
    assert receipt.event_type == ""


def test_the_demo_is_complete_only_with_every_published_event() -> None:
    """The last line counts honestly."""
    progress = Progress(published_at={"a": 1.0, "b": 2.0}, verified_ids={"a"})
    assert progress.last_line().startswith("Demo incomplete: 1 of 2 deliveries verified")
    progress.verified_ids.add("b")
    assert progress.last_line() == "Demo complete: 2 of 2 deliveries verified. Ctrl-C stops the stack."


def test_each_run_publishes_fresh_ids_over_the_same_stories() -> None:
    """An id that was seen before would only be recognised, so no run repeats one."""
    first, second = demo_events("ten_1"), demo_events("ten_1")
    assert len(first) == len(EVENTS_FILE.read_text().splitlines()) == 12
    assert not {event["id"] for event in first} & {event["id"] for event in second}
    assert {event["tenant_id"] for event in first} == {"ten_1"}
    functions = {event["type"].partition(".")[0] for event in first}
    assert functions == {"withdrawal", "prop_trading", "prop_trading_live"}
