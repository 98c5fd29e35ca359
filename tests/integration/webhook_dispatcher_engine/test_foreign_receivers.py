"""Deliveries of a real engine, verified by code that knows nothing of ours, in Python and in Node.

Public packages, and receivers written from the CRM's own description.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nacl.encoding
import nacl.exceptions
import nacl.signing
import pytest

from clients.crm_receiver import RefusedError, receive
from support.engine import Dispatcher, event
from support.node_clients import NodeClients
from support.receiver import Hook, Received
from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.lanes.engine import Engine

pytestmark = pytest.mark.usefixtures("engine")
FUNCTIONS = {
    "withdrawal": "withdrawal",
    "prop_trading": "propTrading",
    "prop_trading_live": "propTradingLive",
    "transfer": "transfer",
    "kyc": "kyc",
}
OUTCOMES: dict[str, int | None] = {"approved.node.1": 1, "approved.node.10": 10, "rejected": None}
OLD, NEW = "It's a Secret to Everybody", "another secret, of 2026"
NAME = 'Payouts "Nord" — ü'


def _request(received: Received, **fields: str) -> dict[str, Any]:
    return {"headers": received.headers, "body": base64.b64encode(received.body).decode(), **fields}


async def _in_node(
    node_clients: NodeClients, program: str, requests: Sequence[dict[str, Any]], folder: Path
) -> list[Any]:
    path = folder / "requests.json"
    path.write_text(json.dumps(requests))
    told: list[Any] = await node_clients.run(program, REQUESTS=str(path))
    return told


def _requests_of_every_function() -> list[dict[str, Any]]:
    made = []
    for function in FUNCTIONS:
        for outcome in OUTCOMES:
            kind = catalogue.find(f"{function}.{outcome}")
            assert kind is not None
            # What only exact bytes keep: an amount beyond any float, its last zero, and letters beyond ASCII.
            data = {**kind.example, "of_their_own": "ü ☃", "exact": "12345678901234567890.10"}
            made.append(event(type=kind.name, subject=data["id"], data=data))
    return made


async def _rotate(dispatcher: Dispatcher, hook: Hook, **body: Any) -> dict[str, Any]:
    return await dispatcher.call("POST", f"/v1/webhooks/{hook.webhook_id}/secret/rotate", body)


@pytest.mark.parametrize("form", ["hex", "prefixed"])
async def test_every_function_of_the_crm_in_both_forms_also_during_a_rotation(
    dispatcher: Dispatcher, node_clients: NodeClients, tmp_path: Path, form: str
) -> None:
    """A receiver takes every request under the secret it has; during the overlap the newest signs the documented header."""
    hook = await dispatcher.new_hook(
        name=NAME,
        format="crm",
        crm_signature=form,
        secret=OLD,
        events=[f"{function}.{selector}" for function in FUNCTIONS for selector in ("approved.*", "rejected")],
    )
    published = _requests_of_every_function()
    await dispatcher.publish(*published)
    before = list(await hook.until_received(len(published)))
    await _rotate(dispatcher, hook, secret=NEW)
    await dispatcher.publish(*published)
    during = (await hook.until_received(2 * len(published)))[len(before) :]

    wanted = {(FUNCTIONS[function], node) for function in FUNCTIONS for node in OUTCOMES.values()}
    for requests, secret in ((before, OLD), (during, NEW)):
        taken = [receive(item.headers, item.body, secret=secret, form=form, name=NAME) for item in requests]
        assert {(item["function"], item["node"]) for item in taken} == wanted
        assert {item["data"]["exact"] for item in taken} == {"12345678901234567890.10"}
        sent = [_request(item, secret=secret, form=form, name=NAME) for item in requests]
        told = await _in_node(node_clients, "crm-receiver.mjs", sent, tmp_path)
        assert {(item.get("function"), item.get("node")) for item in told} == wanted, told
    # The secret before it signs the header beside the documented one, for receivers that look there.
    moved = [{**item.headers, "x-crm-signature": item.headers["x-crm-signature-previous"]} for item in during]
    assert all(
        receive(headers, item.body, secret=OLD, form=form, name=NAME)
        for headers, item in zip(moved, during, strict=True)
    )
    with pytest.raises(RefusedError, match="signature"):
        receive(before[0].headers, before[0].body + b" ", secret=OLD, form=form, name=NAME)
    assert "x-crm-signature-previous" not in before[0].headers


async def test_data_reaches_a_crm_receiver_byte_for_byte(dispatcher: Dispatcher) -> None:
    """Numbers, spacing, key order and escapes are the publisher's own, within the exact envelope."""
    hook = await dispatcher.new_hook(name="n", format="crm", secret=OLD)
    data = b'{ "withdrawal_amount": 12345678901234567890.10,\n "b":1e400, "a":"\\u00fc \\/ \\ud83d\\ude00" }'
    body = b'{"type":"withdrawal.rejected","subject":"s","data":%b}' % data
    answer = await dispatcher.api.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 202, answer.text
    [received] = await hook.until_received(1)
    assert received.body == (
        b'{"source":{"service":"requests","group":"crm.webhooks.groups.requests.withdrawal",'
        b'"event":"crm.webhooks.requests.withdrawal.reject"},"target":{"name":"n"},"version":"1.0.0","data":%b}' % data
    )
    assert received.headers["x-crm-signature"] == hmac.new(OLD.encode(), received.body, hashlib.sha256).hexdigest()
    assert received.headers["content-type"] == "application/json"


@pytest.mark.parametrize("header", [None, "X-Pay-Signature"])
async def test_timestamped_also_during_a_rotation(
    dispatcher: Dispatcher, node_clients: NodeClients, tmp_path: Path, header: str | None
) -> None:
    """One header with the time and a signature for each secret that is in force."""
    hook = await dispatcher.new_hook(format="timestamped", secret=OLD, signature_header=header)
    await dispatcher.publish(event(1))
    [before] = await hook.until_received(1)
    await _rotate(dispatcher, hook, secret=NEW)
    await dispatcher.publish(event(2))
    during = (await hook.until_received(2))[1]
    await _rotate(dispatcher, hook, secret=NEW + "!", overlap_seconds=0)
    await dispatcher.publish(event(3))
    after = (await hook.until_received(3))[2]

    name = header or "X-Signature"
    cases = [(before, OLD, True), (before, NEW, False), (during, OLD, True), (during, NEW, True), (after, NEW, False)]
    sent = [_request(item, secret=secret, header=name) for item, secret, _ in cases]
    told = await _in_node(node_clients, "timestamped-receiver.mjs", sent, tmp_path)
    assert told == [right for *_, right in cases]
    assert [_fits_timestamped(item, secret, name) for item, secret, _ in cases] == told


def _fits_timestamped(received: Received, secret: str, header: str) -> bool:
    """Verify as the description says, in Python."""
    sent_at, *signatures = received.headers[header.lower()].split(",")
    seconds = sent_at.removeprefix("t=")
    assert abs(time.time() - int(seconds)) < 300
    expected = hmac.new(secret.encode(), seconds.encode() + b"." + received.body, hashlib.sha256).hexdigest()
    return f"s={expected}" in signatures


@pytest.mark.parametrize("wire_format", ["standard", "timestamped"])
async def test_v1_and_v1a_by_public_packages_also_during_a_rotation(
    dispatcher: Dispatcher, node_clients: NodeClients, tmp_path: Path, wire_format: str
) -> None:
    """`standardwebhooks` and `svix` take `v1`, PyNaCl and `@noble/ed25519` take `v1a`, under each key that is in force."""
    hook = await dispatcher.new_hook(format=wire_format, ed25519=True)
    shown = await dispatcher.call("GET", f"/v1/webhooks/{hook.webhook_id}")
    [first] = [key["public_key"] for key in shown["public_keys"]]
    await dispatcher.publish(event(1))
    [before] = await hook.until_received(1)
    rotated = await _rotate(dispatcher, hook)
    hook.secrets.append(rotated["secret"])
    second, old = [key["public_key"] for key in rotated["public_keys"]]
    assert old == first
    await dispatcher.publish(event(2))
    during = (await hook.until_received(2))[1]
    await _rotate(dispatcher, hook, overlap_seconds=0)
    await dispatcher.publish(event(3))
    after = (await hook.until_received(3))[2]

    # Python's standardwebhooks and svix verified each as it came, under the secrets known then.
    assert [item.verified for item in (before, during, after)] == [(True,), (True, True), (False, False)]
    cases = [(before, first, True), (during, first, True), (during, second, True), (after, second, False)]
    sent = [_request(item, secret=hook.secrets[item is not before], publicKey=key) for item, key, _ in cases]
    told = await _in_node(node_clients, "standard-receiver.mjs", sent, tmp_path)
    right = [fits for *_, fits in cases]
    assert [item["v1a"] for item in told] == right
    assert [item["standardwebhooks"] for item in told] == [item["svix"] for item in told] == right
    assert [_fits_v1a(item, key) for item, key, _ in cases] == right
    versions = [entry.partition(",")[0] for entry in during.headers["webhook-signature"].split(" ")]
    assert versions == ["v1", "v1", "v1a", "v1a"]


def _fits_v1a(received: Received, public_key: str) -> bool:
    """Verify by PyNaCl."""
    key = nacl.signing.VerifyKey(public_key.removeprefix("whpk_").encode(), nacl.encoding.Base64Encoder)
    head = f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}."
    for entry in received.headers["webhook-signature"].split(" "):
        version, _, signature = entry.partition(",")
        if version != "v1a":
            continue
        try:
            key.verify(head.encode() + received.body, base64.b64decode(signature))
        except nacl.exceptions.BadSignatureError:
            continue
        return True
    return False


async def test_without_the_wish_nothing_is_signed_asymmetrically(dispatcher: Dispatcher, engine: Engine) -> None:
    """A webhook has no key until it asks for one, and none once it no longer wants it; the next attempt knows."""
    del engine
    hook = await dispatcher.new_hook()
    path = f"/v1/webhooks/{hook.webhook_id}"
    for number, wanted in enumerate((None, True, False)):
        if wanted is not None:
            changed = await dispatcher.call("PATCH", path, {"ed25519": wanted})
            assert (changed["ed25519"], len(changed["public_keys"])) == (wanted, int(wanted))
        await dispatcher.publish(event(number))
        received = (await hook.until_received(number + 1))[-1]
        assert ("v1a," in received.headers["webhook-signature"]) is bool(wanted)


async def test_custom_headers_go_along(dispatcher: Dispatcher) -> None:
    """What the owner may add arrives beside ours, and the signature fits."""
    hook = await dispatcher.new_hook(headers={"X-Region": "eu", "Authorization": "Bearer theirs"})
    await dispatcher.publish(event(1))
    [received] = await hook.until_received(1)
    assert (received.headers["x-region"], received.headers["authorization"]) == ("eu", "Bearer theirs")
    assert received.verified == (True,)
