"""Asymmetric signatures of webhooks, ``v1a`` of Standard Webhooks 1.0: a wire contract.

A receiver holds the public key alone, so it can verify and cannot sign. Keys are texts: ``whsk_`` and base64 of the seed's 32
bytes with the 32 of the public key behind them, as libsodium keeps a secret key; ``whpk_`` and base64 of the public key. Used by
the webhook-dispatcher, which signs, and by receivers of ours, which verify.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.webhook_signatures import MalformedSecretError

SECRET_KEY_PREFIX = "whsk_"  # noqa: S105 - the prefix of every key, not one of them
PUBLIC_KEY_PREFIX = "whpk_"
VERSION = "v1a"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair. Its repr shows the public part alone."""

    text: str = field(repr=False)
    """``whsk_…``; what is sealed."""
    public_text: str
    """``whpk_…``, for receivers."""
    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Return a new key pair."""
        return cls._of(Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``whsk_…``; raises MalformedSecretError, which never quotes the text."""
        pair = _decoded(text, prefix=SECRET_KEY_PREFIX, size=2 * _KEY_BYTES)
        key = cls._of(Ed25519PrivateKey.from_private_bytes(pair[:_KEY_BYTES]))
        if key.text != text:
            raise MalformedSecretError("the public half does not belong to the secret one")
        return key

    def sign(self, content: bytes) -> str:
        """Return ``v1a,<base64 of the signature>``."""
        signature = binascii.b2a_base64(self._private.sign(content), newline=False).decode("ascii")
        return f"{VERSION},{signature}"

    @classmethod
    def _of(cls, private: Ed25519PrivateKey) -> Self:
        public = private.public_key().public_bytes_raw()
        secret = SECRET_KEY_PREFIX + base64.b64encode(private.private_bytes_raw() + public).decode()
        return cls(secret, PUBLIC_KEY_PREFIX + base64.b64encode(public).decode(), private)


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """The public half."""

    text: str
    _public: Ed25519PublicKey = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``whpk_…``; raises MalformedSecretError."""
        return cls(text, Ed25519PublicKey.from_public_bytes(_decoded(text, prefix=PUBLIC_KEY_PREFIX, size=_KEY_BYTES)))

    def verifies(self, signatures: Sequence[str], content: bytes) -> bool:
        """Tell whether one of ``webhook-signature``'s entries is a ``v1a`` of this key over ``id.timestamp.body``."""
        for entry in signatures:
            version, _, encoded = entry.partition(",")
            if version != VERSION:
                continue
            try:
                self._public.verify(base64.b64decode(encoded, validate=True), content)
            except (InvalidSignature, ValueError):
                continue
            return True
        return False


def _decoded(text: str, *, prefix: str, size: int) -> bytes:
    if not text.startswith(prefix):
        raise MalformedSecretError(f"a key begins with {prefix}")
    try:
        key = base64.b64decode(text.removeprefix(prefix), validate=True)
    except (ValueError, binascii.Error):
        # Without the cause: its message may repeat a part of the text.
        raise MalformedSecretError(f"what follows {prefix} is not padded standard base64") from None
    if len(key) != size:
        raise MalformedSecretError(f"the key has {len(key)} bytes instead of {size}")
    return key
