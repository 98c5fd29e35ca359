"""What a destination receives: bodies byte for byte, and the headers of each format."""

import base64
import hashlib
import hmac
import json
import time

import pytest
import standardwebhooks
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.webhook_signatures import MalformedSecretError, SigningSecret
from webhook_dispatcher.deliveries.wire_formats import (
    PayloadFormError,
    RenderedEvent,
    SigningConfig,
    WireFormat,
    crm_slug,
    parse_secret,
    render,
    sign,
    user_agent,
)

NEW = SigningSecret.parse_standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
OLD = SigningSecret.parse_printable("It's a Secret to Everybody")
NO_DEADLINE = settings(deadline=None)  # the machine may be busy; time is not what these tests are about
TRICKY_DATA = [
    b'{"amount":1.10,"rate":0.30000000000000004,"fee":1E+2}',
    b'{"big":' + b"9" * 400 + b',"tiny":1e-400,"huge":1e400,"minus":-0}',
    '{"name":"Zo\\u00eb Zoë \\ud83d\\ude00 \\/","":null}'.encode(),
    b'{"nested":{"data":1},"list":[{"data":{"data":2}}],"data":3}',
    b'{"text":"\\",\\"data\\":"}',
    b"[]",
    b"0",
    b'{ "spaces" : [ 1 , 2 ] }',
]


def stored(
    data: bytes, *, event_type: str = "withdrawal.approved.node.2", subject: str | None = "a1b2c3d4"
) -> RenderedEvent:
    head = json.dumps({"id": "evt_1", "type": event_type, "timestamp": "2026-07-01T08:00:00Z", "subject": subject})
    compact = head.replace('": ', '":').replace(', "', ',"').encode()
    return RenderedEvent(id="evt_1", type=event_type, payload=compact[:-1] + b',"data":' + data + b"}")


@pytest.mark.parametrize("wire_format", ["standard", "timestamped"])
@pytest.mark.parametrize("data", TRICKY_DATA)
def test_the_stored_body_is_sent_as_it_is(wire_format: WireFormat, data: bytes) -> None:
    """Both formats of ours send the very object that was stored."""
    event = stored(data)
    assert render(wire_format, event=event, webhook_name="n") is event.payload


@pytest.mark.parametrize("data", TRICKY_DATA)
def test_crm_envelope_holds_the_publishers_bytes(data: bytes) -> None:
    """The CRM's envelope stands around the data, which is the publisher's to the byte."""
    assert render("crm", event=stored(data), webhook_name="Payouts") == (
        b'{"source":{"service":"requests","group":"crm.webhooks.groups.requests.withdrawal",'
        b'"event":"crm.webhooks.requests.withdrawal.approve.node.2"},'
        b'"target":{"name":"Payouts"},"version":"1.0.0","data":' + data + b"}"
    )


def test_crm_envelope_keeps_the_mark_of_a_test() -> None:
    """A receiver of the CRM's format can tell an example from a request, too."""
    event = stored(b"{}")
    marked = RenderedEvent(id=event.id, type=event.type, payload=event.payload[:-1] + b',"test":true}')
    body = json.loads(render("crm", event=marked, webhook_name="n"))
    assert (body["data"], body["test"]) == ({}, True)


@NO_DEADLINE
@given(subject=st.one_of(st.none(), st.text(), st.sampled_from([',"data":', '","data":1,"', "\\", '\\"', ","])))
def test_no_subject_is_taken_for_the_data(subject: str | None) -> None:
    """Whatever a subject holds, the data is what follows the real mark."""
    body = render("crm", event=stored(b'{"n":1.10}', subject=subject), webhook_name="n")
    assert body.endswith(b'"version":"1.0.0","data":{"n":1.10}}')


@NO_DEADLINE
@given(name=st.text(st.characters(codec="utf-8"), max_size=128))
def test_crm_envelope_is_json_for_every_name(name: str) -> None:
    """A webhook's name is escaped and comes out as it was."""
    body = json.loads(render("crm", event=stored(b"{}"), webhook_name=name))
    assert body["target"] == {"name": name}


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"[]", b'{"id":"evt_1"}', b'{"id":"evt_1","data":}', b'{"id":"evt_1","data":1', b'x,"data":1}'],
)
def test_a_body_that_intake_did_not_make_is_refused(payload: bytes) -> None:
    """A damaged stored body is a named error, and its content is not repeated."""
    event = RenderedEvent(id="evt_1", type="withdrawal.rejected", payload=payload)
    with pytest.raises(PayloadFormError):
        render("crm", event=event, webhook_name="n")
    assert "payload" not in repr(event)


@pytest.mark.parametrize(
    ("event_type", "slug"),
    [
        ("withdrawal.approved.node.1", "crm.webhooks.requests.withdrawal.approve.node.1"),
        ("withdrawal.rejected", "crm.webhooks.requests.withdrawal.reject"),
        ("prop_trading.approved.node.10", "crm.webhooks.requests.propTrading.approve.node.10"),
        ("prop_trading_live.rejected", "crm.webhooks.requests.propTradingLive.reject"),
        ("transfer.approved.node.3", "crm.webhooks.requests.transfer.approve.node.3"),
        ("kyc.rejected", "crm.webhooks.requests.kyc.reject"),
        ("withdrawal.approved.node.0", None),
        ("withdrawal.approved.node.11", None),
        ("withdrawal.approved.node.01", None),
        ("withdrawal", None),
        ("withdrawal.", None),
        ("transfer.completed", None),
        ("payment.succeeded", None),
        ("acme.rejected", None),
    ],
)
def test_crm_slug(event_type: str, slug: str | None) -> None:
    """The CRM's requests have slugs, and nothing else is given one."""
    assert crm_slug(event_type) == slug


def test_a_type_the_crm_does_not_have_is_marked_as_ours() -> None:
    """Such an event is delivered under our own names, not under a made-up slug."""
    body = json.loads(render("crm", event=stored(b"{}", event_type="transfer.completed"), webhook_name="n"))
    assert body["source"] == {"service": "causeway", "group": "transfer", "event": "transfer.completed"}


def hex_hmac(secret: str, signed: bytes) -> str:
    """Sign as a receiver would that knows the contract: ``whsec_`` stands before base64, anything else is the key itself."""
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    return hmac.new(key, signed, hashlib.sha256).hexdigest()


def test_headers_of_standard() -> None:
    """Standard Webhooks headers, one signature for each active secret, and nothing more."""
    headers = sign(SigningConfig(wire_format="standard", secrets=[NEW]), event_id="evt_1", timestamp=1000, body=b"{}")
    assert [name for name, _ in headers] == [
        "content-type",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]
    assert dict(headers) | {"webhook-signature": ""} == {
        "content-type": "application/json",
        "user-agent": user_agent(),
        "webhook-id": "evt_1",
        "webhook-timestamp": "1000",
        "webhook-signature": "",
    }
    assert user_agent().startswith("Causeway/")
    assert user_agent()[len("Causeway/")].isdigit()


@pytest.mark.parametrize("wire_format", ["standard", "crm", "timestamped"])
def test_standard_libraries_verify_every_format(wire_format: WireFormat) -> None:
    """``webhook-signature`` is there in the older formats too, for the old and the new secret of a rotation."""
    body = render(wire_format, event=stored(b'{"n":1.10}'), webhook_name="n")
    config = SigningConfig(wire_format=wire_format, secrets=[NEW, OLD])
    headers = dict(sign(config, event_id="evt_1", timestamp=int(time.time()), body=body))
    standardwebhooks.Webhook(NEW.text).verify(body, headers)
    standardwebhooks.Webhook(OLD.text.encode()).verify(body, headers)


@pytest.mark.parametrize("secret", [NEW, SigningSecret.parse_printable("It's a Secret to Everybody")])
def test_crm_header_is_one_hex_hmac(secret: SigningSecret) -> None:
    """The key is the decoded one of a ``whsec_…`` text, and the bytes of any other."""
    config = SigningConfig(wire_format="crm", secrets=[secret])
    headers = dict(sign(config, event_id="evt_1", timestamp=1000, body=b"{}"))
    assert headers["X-Crm-Signature"] == hex_hmac(secret.text, b"{}")
    assert "X-Crm-Signature-Previous" not in headers


def test_crm_header_during_a_rotation() -> None:
    """The one value is the newest secret's; the one before it signs a header of its own; older ones sign none."""
    config = SigningConfig(
        wire_format="crm",
        secrets=[NEW, OLD, SigningSecret.generate()],
        crm_form="prefixed",
        signature_header="X-Acme-Signature",
    )
    headers = sign(config, event_id="evt_1", timestamp=1000, body=b"{}")
    assert headers[5:] == [
        ("X-Acme-Signature", "sha256=" + hex_hmac(NEW.text, b"{}")),
        ("X-Acme-Signature-Previous", "sha256=" + hex_hmac(OLD.text, b"{}")),
    ]


@pytest.mark.parametrize(("configured", "name"), [(None, "X-Signature"), ("X-Acme", "X-Acme")])
def test_timestamped_header_carries_every_active_secret(configured: str | None, name: str) -> None:
    """One ``s=`` for each secret, newest first, under the configured header or ``X-Signature``."""
    config = SigningConfig(wire_format="timestamped", secrets=[NEW, OLD], signature_header=configured)
    headers = sign(config, event_id="evt_1", timestamp=1000, body=b"{}")
    first, second = (hex_hmac(secret.text, b"1000.{}") for secret in (NEW, OLD))
    assert headers[5:] == [(name, f"t=1000,s={first},s={second}")]


def test_a_webhook_without_a_secret_cannot_sign() -> None:
    """No request ever leaves unsigned."""
    with pytest.raises(ValueError, match="at least one active secret"):
        SigningConfig(wire_format="standard", secrets=[])


def test_the_form_of_an_own_secret_follows_the_format() -> None:
    """``standard`` takes ``whsec_…`` alone; the older formats take any printable text."""
    with pytest.raises(MalformedSecretError):
        parse_secret(OLD.text, wire_format="standard")
    assert parse_secret(NEW.text, wire_format="standard") == NEW
    for wire_format in ("crm", "timestamped"):
        assert parse_secret(OLD.text, wire_format=wire_format) == OLD
        assert parse_secret(NEW.text, wire_format=wire_format) == NEW
