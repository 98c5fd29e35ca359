"""Publishing over HTTP: what is accepted, told, and owed; what is refused whole."""

import random
from typing import Any

import orjson
import pytest

from shared import typeids
from support.dispatcher_service import DispatcherService, Tenant, payment, withdrawal


async def test_a_single_event_is_accepted(tenant: Tenant) -> None:
    """202 with its id; it is there, with its delivery, when the answer is."""
    webhook = await tenant.new_webhook()
    answer = await tenant.publisher.post("/v1/events", json=withdrawal(1))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "duplicates": 0, "ids": ["wr-1"]})
    shown = (await tenant.owner.get("/v1/events/wr-1")).json()
    assert (shown["type"], shown["subject"], shown["matched"]) == ("withdrawal.approved.node.1", "subject-1", 1)
    assert [item["webhook_id"] for item in shown["deliveries"]] == [webhook["id"]]
    assert shown["deliveries"][0]["status"] == "pending"


async def test_an_event_without_id_gets_one(tenant: Tenant) -> None:
    """A new TypeID each time: without an id there is nothing to recognise it by."""
    event = payment(1)
    del event["id"]
    told = await tenant.publish(event, event)
    assert told["accepted"] == 2
    assert len({typeids.decode("evt", event_id) for event_id in told["ids"]}) == 2


async def test_ids_are_told_in_the_order_sent(tenant: Tenant) -> None:
    """New ones and known ones alike."""
    await tenant.publish(payment(2))
    told = await tenant.publish(payment(3), payment(2), payment(1), payment(3))
    assert told == {"accepted": 2, "duplicates": 2, "ids": ["pay-3", "pay-2", "pay-1", "pay-3"]}


async def test_a_known_id_is_a_duplicate_whatever_comes_with_it(tenant: Tenant) -> None:
    """The first one stays as it was, and owes nothing more, also to webhooks made since."""
    await tenant.new_webhook()
    await tenant.publish(payment(1, data={"amount": "first"}))
    await tenant.new_webhook()
    told = await tenant.publish(payment(1, data={"amount": "second"}), payment(1, type="payment.failed"))
    assert told == {"accepted": 0, "duplicates": 2, "ids": ["pay-1", "pay-1"]}
    shown = (await tenant.owner.get("/v1/events/pay-1")).json()
    assert (shown["data"], shown["type"], shown["matched"]) == ({"amount": "first"}, "payment.succeeded", 1)
    assert len(await tenant.deliveries()) == 1


async def test_within_a_batch_the_first_of_an_id_counts(tenant: Tenant) -> None:
    """Not the last."""
    told = await tenant.publish(payment(1, data={"n": 1}), payment(2), payment(1, data={"n": 2}))
    assert (told["accepted"], told["duplicates"]) == (2, 1)
    assert (await tenant.owner.get("/v1/events/pay-1")).json()["data"] == {"n": 1}


async def test_a_full_batch_is_accepted(tenant: Tenant) -> None:
    """A thousand events over two webhooks, in one request."""
    await tenant.new_webhook()
    await tenant.new_webhook(events=["payment.*"])
    told = await tenant.publish(*(payment(number) for number in range(1000)))
    assert (told["accepted"], told["duplicates"]) == (1000, 0)
    ledger = await tenant.ledger()
    assert (ledger["accepted"], ledger["matched"], ledger["pending"]) == (1000, 2000, 2000)
    again = await tenant.publish(*(payment(number) for number in range(1000)))
    assert (again["accepted"], again["duplicates"]) == (0, 1000)
    assert (await tenant.ledger()) == ledger


async def test_one_bad_event_refuses_the_batch_and_loses_nothing(tenant: Tenant) -> None:
    """Every fault is told at once; the good ones can be sent again as they are."""
    batch = [payment(1), payment(2, type="nope"), payment(3), payment(4, data=[]), withdrawal(5, subject=None)]
    answer = await tenant.publisher.post("/v1/events", json={"events": batch})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_event")
    assert [error["pointer"] for error in answer.json()["errors"]] == [
        "/events/1/type",
        "/events/3/data",
        "/events/4/subject",
    ]
    assert (await tenant.owner.get("/v1/events")).json()["data"] == []
    assert (await tenant.publish(payment(1), payment(3)))["accepted"] == 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", ""),
        (b"{", ""),
        (b"[]", ""),
        (b'{"type":"payment.failed","data":{},"colour":1}', "/colour"),
        (b'{"type":"payment.failed","data":{"a":1,"a":2}}', "/data/a"),
        (b'{"type":"payment.failed","type":', ""),
        (b'{"a":1,"a":' + b"[" * 100_000, ""),
        (b'{"type":"payment.failed","data":{"a":"\\u0000"}}', "/data/a"),
        (b'{"type":"payment.failed","data":{"a":"\xff"}}', ""),
        (b'{"type":"payment.failed","data":{"a":NaN}}', ""),
        (b'{"type":"payment.failed","data":' + b'{"a":' * 70 + b"1" + b"}" * 71, "/data" + "/a" * 63),
        (b'{"events":[]}', "/events"),
        (b'{"events":[' + b",".join([b"{}"] * 1001) + b"]}", "/events"),
    ],
)
async def test_bad_bodies_are_refused_with_a_pointer(tenant: Tenant, body: bytes, pointer: str) -> None:
    """422 as a problem; nothing is accepted."""
    answer = await tenant.publisher.post("/v1/events", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await tenant.owner.get("/v1/events")).json()["data"] == []


@pytest.mark.parametrize(
    "data",
    [
        b'{"amount":1.10,"big":123456789012345678901234567890,"huge":1e400,"tiny":-0.0E-99}',
        b'{"z":1, "a" : [ 1.0,2.50 ],\n"m":"\\u20ac\\ud83d\\ude00"}',
    ],
)
async def test_data_is_shown_byte_for_byte(tenant: Tenant, data: bytes) -> None:
    """In the event, in the list, and in the body that deliveries send."""
    body = b'{"id":"exact","type":"payment.failed","data":' + data + b"}"
    assert (await tenant.publisher.post("/v1/events", content=body)).status_code == 202
    for path in ("/v1/events/exact", "/v1/events", "/v1/events?after="):
        answer = await tenant.owner.get(path)
        assert answer.status_code == 200
        assert b'"data":' + data in answer.content
        assert orjson.dumps(data.decode())[1:-1] in answer.content


async def test_first_sends_one_event_of_each_request(tenant: Tenant) -> None:
    """Per webhook and function: a payout is started once, at the first node that the webhook selects."""
    first = await tenant.new_webhook(events=["withdrawal.approved.*"])
    every = await tenant.new_webhook(events=["withdrawal.*"], trigger="every")
    second_node = await tenant.new_webhook(events=["withdrawal.approved.node.2"])
    nodes = [withdrawal(f"7-{node}", subject="7", type=f"withdrawal.approved.node.{node}") for node in (1, 2, 3)]
    await tenant.publish(nodes[0])
    await tenant.publish(nodes[1], nodes[2])
    await tenant.publish(withdrawal("other", subject="8"), withdrawal("kyc", subject="7", type="kyc.rejected"))
    owed = [(item["webhook_id"], item["event_id"]) for item in await tenant.deliveries()]
    assert sorted(owed) == sorted(
        [
            (first["id"], "wr-7-1"),
            (first["id"], "wr-other"),
            *((every["id"], f"wr-7-{node}") for node in (1, 2, 3)),
            (every["id"], "wr-other"),
            (second_node["id"], "wr-7-2"),
        ]
    )
    assert (await tenant.ledger())["balanced"] is True


async def test_first_within_one_batch_is_the_first_of_the_batch(tenant: Tenant) -> None:
    """The order that the publisher gave decides."""
    await tenant.new_webhook()
    batch = [
        withdrawal(f"{request}-{node}", subject=f"s{request}", type=f"withdrawal.approved.node.{node}")
        for request in range(50)
        for node in (2, 1, 3)
    ]
    await tenant.publish(*batch)
    assert sorted(item["event_id"] for item in await tenant.deliveries()) == sorted(f"wr-{n}-2" for n in range(50))


async def test_a_batch_is_due_in_its_order(tenant: Tenant, service: DispatcherService) -> None:
    """A webhook's deliveries are taken by their due time: that of a batch's events rises as the publisher listed them."""
    for _ in range(3):
        await tenant.new_webhook()
    numbers = random.Random(3).sample(range(300), 300)
    await tenant.publish(*(payment(number) for number in numbers))
    rows = await service.rows(
        "SELECT d.webhook_id, array_agg(e.event_id ORDER BY d.next_attempt_at, d.id) AS event_ids"
        " FROM deliveries d JOIN events e ON e.id = d.event WHERE d.tenant_id = :tenant GROUP BY 1",
        tenant=typeids.decode("ten", tenant.id),
    )
    assert [row.event_ids for row in rows] == [[f"pay-{number}" for number in numbers]] * 3


async def test_other_functions_always_send_every_match(tenant: Tenant) -> None:
    """`trigger: first` is about requests alone."""
    await tenant.new_webhook(trigger="first")
    await tenant.publish(*(payment(number, subject="same") for number in range(3)))
    assert len(await tenant.deliveries()) == 3


async def test_only_selected_events_are_owed(tenant: Tenant) -> None:
    """An event that nobody selects is kept all the same."""
    webhook = await tenant.new_webhook(events=["payment.succeeded", "kyc.*"])
    await tenant.publish(
        payment(1), payment(2, type="payment.failed"), withdrawal(3, type="kyc.rejected"), withdrawal(4)
    )
    assert {item["event_id"] for item in await tenant.deliveries(webhook_id=webhook["id"])} == {"pay-1", "wr-3"}
    matched = {item["id"]: item["matched"] for item in (await tenant.owner.get("/v1/events")).json()["data"]}
    assert matched == {"pay-1": 1, "pay-2": 0, "wr-3": 1, "wr-4": 0}


async def test_a_service_key_names_the_realm(service: DispatcherService, tenant: Tenant) -> None:
    """Tenant by X-Tenant-Id, environment by X-Environment, live unless named; a tenant's key names its own."""
    in_test = service.client(service.publisher_key, x_tenant_id=tenant.id, x_environment="test")
    await tenant.publish(payment(1))
    await tenant.publish(payment(1), payment(2), client=in_test)
    live: list[dict[str, Any]] = (await tenant.owner.get("/v1/events")).json()["data"]
    test: list[dict[str, Any]] = (await tenant.tester.get("/v1/events")).json()["data"]
    assert ([item["id"] for item in live], [item["id"] for item in test]) == (["pay-1"], ["pay-2", "pay-1"])
    nameless = await service.client(service.publisher_key).post("/v1/events", json=payment(3))
    assert (nameless.status_code, nameless.json()["code"]) == (400, "tenant_required")


async def test_an_idempotency_key_gives_the_first_answer_again(tenant: Tenant) -> None:
    """Also for events without ids: the second request makes nothing, and another body under the key is refused."""
    event = payment(1)
    del event["id"]
    headers = {"idempotency-key": "publish-1"}
    first = await tenant.publisher.post("/v1/events", json=event, headers=headers)
    again = await tenant.publisher.post("/v1/events", json=event, headers=headers)
    assert (first.status_code, first.json()["accepted"]) == (202, 1)
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    other = await tenant.publisher.post("/v1/events", json=payment(2), headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len((await tenant.owner.get("/v1/events")).json()["data"]) == 1
