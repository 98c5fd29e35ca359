"""Bodies signed the older way, by the vectors of the design, and nothing guessed beyond them."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from shared.crm_signatures import UnsignableError, is_signed, sha1_signature

KEY = "demo-key-1"


@pytest.mark.parametrize(
    ("body", "key", "signature"),
    [
        ({"skip": 0, "limit": 25}, KEY, "6C45EE117103BFD9D3E337C818AF25B4C3B86A18"),
        (
            {"skip": 0, "limit": 25, "external_user_id": ["a1b2c3d4", "e5f6a7b8"]},
            KEY,
            "7DE2C1734AA5638EDCCC6F04BF0E8BFB1FC27554",
        ),
        ({"limit": 20, "skip": 0}, "K3Y", "689E12BEA8979247C4BFC35F50A6D97E6B974B96"),
    ],
)
def test_the_vectors_of_the_sha1_scheme(body: dict[str, Any], key: str, signature: str) -> None:
    """As computed and as verified over the wire, with empty fields left out."""
    assert sha1_signature(body, key=key) == signature
    for sent in (body, {**body, "note": "", "tags": [], "nothing": None}):
        assert is_signed(json.dumps(sent).encode(), signature=signature, key=key)
    assert not is_signed(json.dumps({**body, "skip": 1}).encode(), signature=signature, key=key)
    assert not is_signed(json.dumps(body).encode(), signature=signature.lower(), key=key)
    assert not is_signed(json.dumps(body).encode(), signature=signature, key=key + "x")


def test_the_vector_of_the_hmac_scheme() -> None:
    """The body's exact bytes; the prefix is needed."""
    key, body = "It's a Secret to Everybody", b"Hello, World!"
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert is_signed(body, signature=f"sha256={digest}", key=key)
    assert is_signed(body, signature=f"sha256={digest.upper()}", key=key)
    assert not is_signed(body + b" ", signature=f"sha256={digest}", key=key)
    for other in (digest, f"sha1={digest}", f"sha256={digest[:-1]}", f"sha256={digest}0", "sha256=", "sha256=é", ""):
        assert not is_signed(body, signature=other, key=key)


@pytest.mark.parametrize(
    "fields",
    [{"source": {"wallet": "home"}}, {"list": [["a"]]}, {"list": [{"a": 1}]}, {"list": [None]}, {"flag": True}],
)
def test_what_the_sha1_scheme_does_not_say_is_not_guessed(fields: dict[str, Any]) -> None:
    """Nested values and booleans have no documented form; under HMAC such a body can be signed."""
    with pytest.raises(UnsignableError):
        sha1_signature(fields, key=KEY)
    body = json.dumps(fields).encode()
    assert not is_signed(body, signature="0" * 40, key=KEY)
    digest = hmac.digest(KEY.encode(), body, hashlib.sha256).hex()
    assert is_signed(body, signature=f"sha256={digest}", key=KEY)


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b'{"a":1,"a":2}', b"\xff", b"[" * 100_000])
def test_what_is_no_plain_object_is_not_signed(body: bytes) -> None:
    """Nor is it an error: the answer is no."""
    assert not is_signed(body, signature=sha1_signature({}, key=KEY), key=KEY)


def test_numbers_stand_as_they_were_sent() -> None:
    """No float comes between."""
    body = b'{"amount":0.10000000000000000001,"count":12345678901234567890}'
    text = f"amount=0.10000000000000000001&count=12345678901234567890{KEY}"
    signature = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().upper()
    assert is_signed(body, signature=signature, key=KEY)
