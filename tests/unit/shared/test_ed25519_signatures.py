"""``v1a``: the vector, keys in text, and another library that agrees."""

import base64

import nacl.signing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ed25519_signatures import SigningKey, VerifyingKey
from shared.webhook_signatures import MalformedSecretError

SECRET = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
CONTENT = b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'
SIGNATURE = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def test_the_vector_of_standard_webhooks() -> None:
    """The published key signs the published content as published, and verifies it."""
    key = SigningKey.parse(SECRET)
    assert key.sign(CONTENT) == SIGNATURE
    assert VerifyingKey.parse(key.public_text).verifies([SIGNATURE], CONTENT)


@given(st.binary(max_size=2000), st.integers(0, 63), st.integers(0, 7))
def test_another_library_verifies_and_one_bit_is_enough_to_refuse(content: bytes, byte: int, bit: int) -> None:
    """PyNaCl, with the public text alone; any altered bit of signature or content fits no more."""
    key = SigningKey.generate()
    signature = base64.b64decode(key.sign(content).removeprefix("v1a,"))
    public = base64.b64decode(key.public_text.removeprefix("whpk_"))
    nacl.signing.VerifyKey(public).verify(content, signature)
    altered = bytearray(signature)
    altered[byte] ^= 1 << bit
    verifying = VerifyingKey.parse(key.public_text)
    assert verifying.verifies(["v1,x", "v1a,%%%", key.sign(content)], content)
    assert not verifying.verifies(["v1a," + base64.b64encode(altered).decode()], content)
    assert not verifying.verifies([key.sign(content)], content + b" ")
    assert not VerifyingKey.parse(SigningKey.generate().public_text).verifies([key.sign(content)], content)


def test_keys_are_texts_that_can_be_kept() -> None:
    """Parsing gives the same key; each new one is another."""
    key = SigningKey.generate()
    again = SigningKey.parse(key.text)
    assert (again.text, again.public_text, again.sign(b"x")) == (key.text, key.public_text, key.sign(b"x"))
    assert SigningKey.generate().text != key.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_" + "A" * 44,
        "whsk_",
        "whsk_!!!",
        "whsk_" + base64.b64encode(bytes(32)).decode(),
        # A seed under another public key: signing with it would give away the seed.
        "whsk_" + base64.b64encode(bytes(64)).decode(),
        SECRET[:-1],
        SECRET + "\n",
    ],
)
def test_malformed_keys_are_refused_without_being_quoted(text: str) -> None:
    """The reason is named, the text never."""
    with pytest.raises(MalformedSecretError) as refused:
        SigningKey.parse(text)
    assert not text or text not in str(refused.value)
    with pytest.raises(MalformedSecretError):
        VerifyingKey.parse(text)


def test_a_key_shows_its_public_half_alone() -> None:
    """In a repr, as in a log."""
    key = SigningKey.parse(SECRET)
    assert key.public_text in repr(key)
    assert "6Xb/dCcHpPea21" not in repr(key)
