"""Keys are kept as HMAC-SHA256 under a pepper."""

import base64
import os

import pytest
from pydantic import SecretStr

from credentials.verification.key_hashing import PepperRing
from shared import key_format
from shared.sealing import KeyringMalformedError

KEY = key_format.generate("secret", "live")


def test_known_answer() -> None:
    """The same HMAC-SHA256 as OpenSSL computes."""
    ring = PepperRing({"p1": bytes(range(32))})
    stored = ring.hash("cw_sk_live_" + "0" * 49)
    assert stored.pepper_id == "p1"
    assert stored.secret_hash.hex() == "dea7c068d3179ef195ff1f9f36bd6cee357e70b4dae53d8f1afcd85cfd521f57"


def test_a_new_pepper_hashes_and_the_old_one_still_finds() -> None:
    """With a new pepper in front, keys stored under the old one are found; once it is gone, they are not."""
    old, new = os.urandom(32), os.urandom(32)
    stored = PepperRing({"old": old}).hash(KEY)
    both = PepperRing({"new": new, "old": old})
    assert stored.secret_hash in both.candidates(KEY)
    assert both.hash(KEY).pepper_id == "new"
    assert stored.secret_hash not in PepperRing({"new": new}).candidates(KEY)


@pytest.mark.parametrize("text", ["", "p1", "p1:AAAA", ":" + "A" * 44])
def test_malformed_peppers_stop_the_start(text: str) -> None:
    """A service without sound peppers does not start."""
    with pytest.raises(KeyringMalformedError):
        PepperRing.from_text(SecretStr(text))


def test_peppers_do_not_show() -> None:
    """The ring's repr shows nothing of them."""
    pepper = base64.b64encode(b"p" * 32).decode()
    assert "ppp" not in repr(PepperRing.from_text(SecretStr(f"p1:{pepper}")))
