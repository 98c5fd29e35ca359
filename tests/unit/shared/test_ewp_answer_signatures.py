"""Signatures of answers: bound to their requests."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ewp import signature_errors as errors
from shared.ewp.signature_fields import Component, byte_sequence, content_digest, signature_params
from shared.ewp.signatures import signature_base
from shared.ewp.signing_keys import Ed25519SigningKey, SigningKey
from support.ewp_signing import (
    BODY,
    NEW,
    NOW,
    OLD,
    PLAIN,
    PRIVATE,
    PUBLIC,
    answered,
    signed,
    verify_answer,
)

NO_DEADLINE = settings(deadline=None)  # the machine may be busy; time is not what these tests are about


@NO_DEADLINE
@given(st.integers(200, 599), st.binary(max_size=100), st.sampled_from([NEW, PRIVATE]))
def test_an_answer_holds_for_its_request(status: int, body: bytes, key: SigningKey) -> None:
    """Any status and body, also an empty one."""
    answer = answered(signed(PLAIN, key), status=status, body=body, key=key)
    assert verify_answer(answer, NEW, PUBLIC).key_id == key.key_id


def test_the_answers_fields_are_exactly_these() -> None:
    """``"signature";req`` is written as the standard serialises it."""
    answer = dict(answered(signed())["headers"])
    start = f'sig1=("@status" "content-digest" "signature";req);created={NOW};keyid="ewk_new";alg="hmac-sha256"'
    assert answer["signature-input"] == start


def test_an_answer_is_bound_to_its_request() -> None:
    """Replayed for another request, with another status, body or key, it proves nothing."""
    request = signed()
    answer = answered(request)
    another = dict(signed().headers)["signature"]
    with pytest.raises(errors.SignatureMismatchError):
        verify_answer({**answer, "request_signature": another})
    with pytest.raises(errors.SignatureMismatchError):
        verify_answer({**answer, "status": 201})
    with pytest.raises(errors.DigestMismatchError):
        verify_answer({**answer, "body": b'{"state":"committed"}'})
    with pytest.raises(errors.UnknownKeyError):
        verify_answer(answer, OLD)
    with pytest.raises(errors.SignatureTimeError):
        verify_answer(answer, now=NOW + 301)
    with pytest.raises(errors.SignatureMissingError):
        verify_answer({**answer, "headers": ()})
    with pytest.raises(errors.SignatureMalformedError):
        verify_answer({**answer, "headers": [field for field in answer["headers"] if field[0] != "signature"]})


@pytest.mark.parametrize("left_out", ["@status", "content-digest", "signature"])
def test_an_answer_that_leaves_out_what_binds_it_proves_nothing(left_out: str) -> None:
    """A signature over less, good as it is, could be moved to another answer, or to the answer of another request."""
    request = dict(signed().headers)["signature"]
    values = {"@status": "200", "content-digest": content_digest(BODY), "signature": request}
    covered = [Component(name, from_request=name == "signature") for name in values if name != left_out]
    params = signature_params(covered, created=NOW, keyid=NEW.key_id, alg=NEW.algorithm)
    signature = NEW.sign(signature_base(covered, params, lambda component: values[component.name]))
    headers = [
        ("content-digest", values["content-digest"]),
        ("signature-input", f"sig1={params}"),
        ("signature", f"sig1={byte_sequence(signature)}"),
    ]
    with pytest.raises(errors.ComponentsNotCoveredError):
        verify_answer({"status": 200, "body": BODY, "headers": headers, "request_signature": request})


def test_our_own_request_is_no_answer() -> None:
    """The fields of a request, sent back by something that mirrors, do not cover what an answer must."""
    request = signed()
    mirrored = {
        "status": 200,
        "body": BODY,
        "headers": request.headers,
        "request_signature": dict(request.headers)["signature"],
    }
    with pytest.raises(errors.ComponentsNotCoveredError):
        verify_answer(mirrored)


def test_no_secret_shows() -> None:
    """Not in a repr, not in what is said of a key that is none."""
    assert "made up" not in repr(NEW)
    assert "PrivateKey" not in repr(PRIVATE)
    for text in ("a secret", base64.b64encode(b"a secret").decode()):
        with pytest.raises(ValueError, match="32 bytes") as refused:
            Ed25519SigningKey.of_base64("k", text)
        assert text not in str(refused.value)
