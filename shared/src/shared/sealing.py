"""Sealing: secrets that must be shown again are kept under AES-256-GCM (NIST SP 800-38D), bound to their row.

The associated data names table, column, row and tenant, so that a sealed value copied to another row does not open.
Form: ``v1 || len(key id) || key id || nonce (12) || ciphertext and tag``. Used by every service.
"""

import base64
import binascii
import os
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

_VERSION = 1
_NONCE_BYTES = 12
_KEY_BYTES = 32


class SealingError(Exception):
    """A sealed value cannot be opened: unknown key id, other row, or altered bytes. Says nothing of the content."""


class KeyringMalformedError(ValueError):
    """The configured keys are not of the form ``<id>:<base64 of 32 bytes>[,…]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealContext:
    """Where a sealed value lives; part of what is authenticated."""

    table: str
    column: str
    row_id: UUID
    tenant_id: UUID | None

    def associated_data(self) -> bytes:
        """Return an unambiguous encoding: the names are identifiers, so a NUL cannot stand in them."""
        tenant = self.tenant_id.bytes if self.tenant_id else b""
        return b"\0".join((self.table.encode(), self.column.encode(), self.row_id.bytes + tenant))


class SealingKeyring:
    """Seals under the first key, opens under any of them; rotate by putting a new key first."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        if not keys:
            raise KeyringMalformedError("CAUSEWAY_SEALING_KEYS holds no key")
        if any(len(key) != _KEY_BYTES for key in keys.values()):
            raise KeyringMalformedError("a sealing key has 32 bytes")
        self.current_key_id = next(iter(keys))
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}

    @classmethod
    def from_text(cls, text: SecretStr) -> "SealingKeyring":
        """Read the setting's form; raises KeyringMalformedError."""
        return cls(parse_keys(text))

    def seal(self, plaintext: bytes, *, context: SealContext) -> bytes:
        """Return the sealed form of ``plaintext`` for this row."""
        nonce = os.urandom(_NONCE_BYTES)
        key_id = self.current_key_id.encode()
        sealed = self._ciphers[self.current_key_id].encrypt(nonce, plaintext, context.associated_data())
        return bytes((_VERSION, len(key_id))) + key_id + nonce + sealed

    def open(self, sealed: bytes, *, context: SealContext) -> bytes:
        """Return the plaintext; raises SealingError."""
        key_id, rest = _split(sealed)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealingError("sealed under a key that is not configured")
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], context.associated_data())
        except InvalidTag as exc:
            raise SealingError("the sealed value does not belong to this row or was altered") from exc


def key_id_of(sealed: bytes) -> str:
    """Return the id of the key that sealed this value; raises SealingError."""
    return _split(sealed)[0]


def parse_keys(text: SecretStr) -> dict[str, bytes]:
    """Read ``<id>:<base64>[,…]`` in its order; raises KeyringMalformedError."""
    keys: dict[str, bytes] = {}
    for part in filter(None, (part.strip() for part in text.get_secret_value().split(","))):
        key_id, separator, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error as exc:
            raise KeyringMalformedError("a key is not base64") from exc
        if not separator or not key_id or key_id in keys:
            raise KeyringMalformedError("each key needs an id of its own: <id>:<base64>")
        keys[key_id] = key
    return keys


def _split(sealed: bytes) -> tuple[str, bytes]:
    if len(sealed) < 2 or sealed[0] != _VERSION or len(sealed) < 2 + sealed[1] + _NONCE_BYTES:  # noqa: PLR2004 - the form's two leading bytes
        raise SealingError("not a sealed value")
    end = 2 + sealed[1]
    return sealed[2:end].decode("ascii", "replace"), sealed[end:]
