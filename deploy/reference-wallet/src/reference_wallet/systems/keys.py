"""API keys: from what is registered to what is kept, and back to what signs and verifies. Pure."""

import base64
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from shared.ewp.signing_keys import (
    Ed25519SigningKey,
    Ed25519VerifyingKey,
    HmacKey,
    SigningKey,
    VerifyingKey,
)
from shared.sealing import SealContext

Algorithm = Literal["hmac-sha256", "ed25519"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What is kept of a key that is registered; ``secret`` is to be sealed."""

    secret: bytes
    callers_public_key: str | None = None
    own_public_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedKey:
    """With what a caller's requests are verified, and the answers to them signed."""

    verifies: VerifyingKey
    signs: SigningKey


def new_key(key_id: str, *, algorithm: Algorithm, secret: SecretStr) -> NewKey:
    """Return what to keep. For ``ed25519`` the answers get a key pair of their own; raises ValueError for a malformed key."""
    text = secret.get_secret_value()
    if algorithm == "hmac-sha256":
        return NewKey(secret=text.encode())
    Ed25519VerifyingKey.of_base64(key_id, text)
    own = Ed25519PrivateKey.generate()
    return NewKey(
        secret=base64.b64encode(own.private_bytes_raw()),
        callers_public_key=text,
        own_public_key=base64.b64encode(own.public_key().public_bytes_raw()).decode(),
    )


def opened_key(key_id: str, *, secret: bytes, public_key: str | None) -> OpenedKey:
    """Return a key as it was registered, from its unsealed secret."""
    if public_key is None:
        shared = HmacKey(key_id, secret)
        return OpenedKey(verifies=shared, signs=shared)
    return OpenedKey(
        verifies=Ed25519VerifyingKey.of_base64(key_id, public_key),
        signs=Ed25519SigningKey.of_base64(key_id, secret.decode()),
    )


def secret_context(*, system_id: UUID, row_id: UUID) -> SealContext:
    """Return what a sealed secret is bound to: its row and its system."""
    return SealContext(table="api_keys", column="sealed_secret", row_id=row_id, tenant_id=system_id)
