"""Keys that sign and verify ``ewp/1``: HMAC-SHA256 (RFC 9421 §3.3.3) and Ed25519 (§3.3.6). Used by both sides."""

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519_BYTES = 32


class SigningKey(Protocol):
    """Makes signatures under the name ``key_id``."""

    @property
    def key_id(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    def sign(self, base: bytes) -> bytes:
        """Return the signature of a signature base."""
        ...


class VerifyingKey(Protocol):
    """Judges signatures made under the name ``key_id``."""

    @property
    def key_id(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    def verifies(self, signature: bytes, base: bytes) -> bool:
        """Tell whether ``signature`` is one of ``base`` under this key."""
        ...


@dataclass(frozen=True, slots=True)
class HmacKey:
    """A shared secret; its bytes are the UTF-8 of the API key's text. Signs and verifies. The repr shows no secret."""

    algorithm: ClassVar[str] = "hmac-sha256"
    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def of_text(cls, key_id: str, text: str) -> "HmacKey":
        """Return the key whose secret is this API key."""
        return cls(key_id, text.encode())

    def sign(self, base: bytes) -> bytes:
        return hmac.digest(self.secret, base, "sha256")

    def verifies(self, signature: bytes, base: bytes) -> bool:
        return hmac.compare_digest(signature, self.sign(base))


@dataclass(frozen=True, slots=True)
class Ed25519SigningKey:
    algorithm: ClassVar[str] = "ed25519"
    key_id: str
    private_key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def of_base64(cls, key_id: str, text: str) -> "Ed25519SigningKey":
        """Read 32 bytes in padded base64; raises ValueError, which never quotes the text."""
        return cls(key_id, Ed25519PrivateKey.from_private_bytes(_32_bytes(text)))

    def sign(self, base: bytes) -> bytes:
        return self.private_key.sign(base)


@dataclass(frozen=True, slots=True)
class Ed25519VerifyingKey:
    algorithm: ClassVar[str] = "ed25519"
    key_id: str
    public_key: Ed25519PublicKey

    @classmethod
    def of_base64(cls, key_id: str, text: str) -> "Ed25519VerifyingKey":
        """Read 32 bytes in padded base64; raises ValueError."""
        return cls(key_id, Ed25519PublicKey.from_public_bytes(_32_bytes(text)))

    def verifies(self, signature: bytes, base: bytes) -> bool:
        try:
            self.public_key.verify(signature, base)
        except InvalidSignature:
            return False
        return True


def _32_bytes(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        # Without the cause: its message may repeat a part of the text.
        raise ValueError("an Ed25519 key is 32 bytes in padded base64") from None
    if len(key) != _ED25519_BYTES:
        raise ValueError("an Ed25519 key is 32 bytes in padded base64")
    return key
