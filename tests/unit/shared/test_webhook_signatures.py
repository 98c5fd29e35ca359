"""Signatures and secrets of webhooks: published vectors, independent verifiers, and what is refused."""

import base64
import time

import pytest
import standardwebhooks
import svix.webhooks
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.webhook_signatures import (
    SIGNATURES_MAX,
    MalformedSecretError,
    SignatureMismatchError,
    SignatureMissingError,
    SignatureTimeError,
    SigningSecret,
    crm_signature,
    standard_signature,
    timestamped_signature,
    verify_standard,
)

VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NO_DEADLINE = settings(deadline=None)  # the machine may be busy; time is not what these tests are about
KEYS = st.binary(min_size=24, max_size=64)
BODIES = st.binary(max_size=512)
TIMES = st.integers(min_value=0, max_value=2**33)
IDS = st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True)


def whsec(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def standard_headers(keys: list[bytes], *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard_signature(keys, message_id=message_id, timestamp=timestamp, body=body),
    }


def test_standard_vector() -> None:
    """The published Standard Webhooks vector comes out to the byte."""
    signature = standard_signature(
        [SigningSecret.parse_standard(VECTOR_SECRET).key],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_crm_vector() -> None:
    """The vector of the CRM's style comes out in both forms, under the secret's text as it is."""
    key = SigningSecret.parse_printable("It's a Secret to Everybody").key
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert crm_signature(key, b"Hello, World!", form="hex") == digest
    assert crm_signature(key, b"Hello, World!", form="prefixed") == f"sha256={digest}"


def test_timestamped_signature_covers_time_and_body() -> None:
    """``t.body`` is what ``s=`` signs: the CRM's form over the same bytes is the same digest."""
    keys = [b"k" * 16, b"o" * 16]
    digests = [crm_signature(key, b"1614265330.{}", form="hex") for key in keys]
    signature = timestamped_signature(keys, timestamp=1614265330, body=b"{}")
    assert signature == f"t=1614265330,s={digests[0]},s={digests[1]}"


@pytest.mark.parametrize("verifier", [standardwebhooks.Webhook, svix.webhooks.Webhook])
@NO_DEADLINE
@given(old=KEYS, new=KEYS, message_id=IDS, text=st.text(max_size=200))
def test_independent_packages_accept_both_secrets_of_a_rotation(
    verifier: type, old: bytes, new: bytes, message_id: str, text: str
) -> None:
    """Receivers with the old and with the new secret both verify a request signed during the overlap."""
    body = b'{"data":"' + base64.b64encode(text.encode("utf-8", "replace")) + b'"}'
    headers = standard_headers([new, old], message_id=message_id, timestamp=int(time.time()), body=body)
    verifier(whsec(old)).verify(body, headers)
    verifier(whsec(new)).verify(body, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verifier(whsec(b"x" * 24)).verify(body, headers)


def test_independent_packages_accept_a_generated_secret() -> None:
    """What ``generate`` gives can be pasted into a receiver."""
    secret = SigningSecret.generate()
    headers = standard_headers([secret.key], message_id="evt_1", timestamp=int(time.time()), body=b"{}")
    standardwebhooks.Webhook(secret.text).verify(b"{}", headers)
    assert secret != SigningSecret.generate()


@NO_DEADLINE
@given(keys=st.lists(KEYS, min_size=1, max_size=3), message_id=IDS, timestamp=TIMES, body=BODIES, data=st.data())
def test_what_was_signed_verifies(
    keys: list[bytes], message_id: str, timestamp: int, body: bytes, data: st.DataObject
) -> None:
    """Any one of the signing keys verifies, within the tolerance on either side."""
    headers = standard_headers(keys, message_id=message_id, timestamp=timestamp, body=body)
    key = data.draw(st.sampled_from(keys))
    now = timestamp + data.draw(st.integers(min_value=-300, max_value=300))
    verify_standard([key], headers=headers, body=body, now=now)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("webhook-id", "evt_2"),
        ("webhook-timestamp", "1001"),
        ("webhook-timestamp", "01000"),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ("webhook-signature", "ü" * 47),
        ("webhook-signature", "\udcff"),
    ],
)
def test_a_changed_header_is_refused(field: str, value: str) -> None:
    """The id and the time are signed as they are written, and odd signature texts are a mismatch, not a crash."""
    headers = standard_headers([b"k" * 24], message_id="evt_1", timestamp=1000, body=b"{}")
    with pytest.raises(SignatureMismatchError):
        verify_standard([b"k" * 24], headers={**headers, field: value}, body=b"{}", now=1000)


def test_a_changed_body_or_key_is_refused() -> None:
    """Neither another body nor another key verifies, nor no key at all."""
    headers = standard_headers([b"k" * 24], message_id="evt_1", timestamp=1000, body=b"{}")
    for keys, body in (([b"k" * 24], b"{} "), ([b"j" * 24], b"{}"), ([], b"{}")):
        with pytest.raises(SignatureMismatchError):
            verify_standard(keys, headers=headers, body=body, now=1000)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named_as_missing(name: str) -> None:
    """Each of the three headers is required."""
    headers = standard_headers([b"k" * 24], message_id="evt_1", timestamp=1000, body=b"{}")
    del headers[name]
    with pytest.raises(SignatureMissingError):
        verify_standard([b"k" * 24], headers=headers, body=b"{}", now=1000)


@pytest.mark.parametrize("text", ["", "1e3", "-1", "1000.0", " 1000", "nan", "9" * 13, "\u0661\u0660\u0660\u0660"])
def test_a_timestamp_is_whole_unix_seconds(text: str) -> None:
    """Other spellings of a number are refused before any arithmetic."""
    headers = standard_headers([b"k" * 24], message_id="evt_1", timestamp=1000, body=b"{}")
    with pytest.raises(SignatureMissingError):
        verify_standard([b"k" * 24], headers={**headers, "webhook-timestamp": text}, body=b"{}", now=1000)


@pytest.mark.parametrize("now", [699, 1301])
def test_outside_the_tolerance_is_refused(now: int) -> None:
    """Five minutes on either side are allowed, one second more is not."""
    headers = standard_headers([b"k" * 24], message_id="evt_1", timestamp=1000, body=b"{}")
    with pytest.raises(SignatureTimeError):
        verify_standard([b"k" * 24], headers=headers, body=b"{}", now=now)


def test_too_many_signatures_are_refused() -> None:
    """The number of comparisons is bounded, even when a right signature stands among them."""
    headers = standard_headers([b"k" * 24] * (SIGNATURES_MAX + 1), message_id="evt_1", timestamp=1000, body=b"{}")
    with pytest.raises(SignatureMismatchError):
        verify_standard([b"k" * 24], headers=headers, body=b"{}", now=1000)


@NO_DEADLINE
@given(key=KEYS)
@example(b"\0" * 24)
@example(b"\xff" * 64)
def test_standard_secret_round_trip(key: bytes) -> None:
    """The key is what the base64 says, and the text comes back as it was."""
    secret = SigningSecret.parse_standard(whsec(key))
    assert secret.key == key
    assert SigningSecret.parse_standard(secret.text) == secret == SigningSecret.parse_printable(whsec(key))


@NO_DEADLINE
@given(text=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=16, max_size=128))
@example("whsec_not base64 at all")
@example("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
def test_printable_secret_round_trip(text: str) -> None:
    """Any printable text is its own key, also when it only looks like another form."""
    secret = SigningSecret.parse_printable(text)
    assert secret.text == text
    assert secret.key == text.encode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "begins with whsec_"),
        ("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with whsec_"),
        ("whsec_", "0 bytes"),
        (whsec(b"k" * 23), "23 bytes"),
        (whsec(b"k" * 65), "65 bytes"),
        (whsec(b"k" * 25).rstrip("="), "base64"),
        (whsec(b"\xff" * 24).replace("/", "_"), "base64"),
        (whsec(b"k" * 24) + "\n", "base64"),
        ("whsec_" + "ü" * 32, "base64"),
        (whsec(b"\0" * 25).replace("A=", "B="), "canonical"),
    ],
)
def test_malformed_standard_secret(text: str, reason: str) -> None:
    """The reason is named, the text is not quoted."""
    with pytest.raises(MalformedSecretError, match=reason) as caught:
        SigningSecret.parse_standard(text)
    assert len(text) <= len("whsec_") or text.removeprefix("whsec_") not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "text", ["k" * 15, "k" * 129, "k" * 15 + "\n", "k" * 15 + "\t", "k" * 15 + "é", "k" * 15 + "\0"]
)
def test_malformed_printable_secret(text: str) -> None:
    """Length and characters are bounded, and the text is not quoted."""
    with pytest.raises(MalformedSecretError) as caught:
        SigningSecret.parse_printable(text)
    assert text not in str(caught.value)


def test_a_secret_is_never_shown() -> None:
    """Neither repr, str nor a format string shows any part of it."""
    secret = SigningSecret.parse_printable("It's a Secret to Everybody")
    assert f"{secret} {secret!r} {secret!s}" == "SigningSecret() SigningSecret() SigningSecret()"
