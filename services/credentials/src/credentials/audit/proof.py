"""Proof that this service wrote an entry: an HMAC of its hash, under a key that the database does not hold.

Anybody can compute the hashes of a chain, and so make another chain that fits; the proof takes what the database's password
does not give. The keys are derived from the sealing keys and have their ids. A key that is configured no more proves nothing:
see ``verification`` for how a chain outlives it.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from shared.sealing import KeyringMalformedError, parse_keys

_KEY_BYTES = 32
_LABEL = b"causeway credentials audit log v1"
_IN_SESSION = "audit_keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The key's id, and HMAC-SHA256 of an entry's hash under it."""

    key_id: str
    mac: bytes


class AuditKeys:
    """The keys that prove entries: the first proves new ones, all are known."""

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        if not secrets:
            raise KeyringMalformedError("CAUSEWAY_SEALING_KEYS holds no key")
        self._keys = {key_id: _derived(secret) for key_id, secret in secrets.items()}
        self.newest_id = next(iter(secrets))

    @classmethod
    def from_sealing_keys(cls, text: SecretStr) -> "AuditKeys":
        """Derive the keys from the setting ``sealing_keys``; raises KeyringMalformedError."""
        return cls(parse_keys(text))

    @property
    def session_info(self) -> dict[str, object]:
        """Return what a database's sessions carry, so that whoever records a mutation need not."""
        return {_IN_SESSION: self}

    def prove(self, entry_hash: bytes) -> Proof:
        """Return the proof of an entry that is being written."""
        return Proof(key_id=self.newest_id, mac=_mac(self._keys[self.newest_id], entry_hash))

    def proves(self, proof: Proof | None, entry_hash: bytes) -> bool | None:
        """Tell whether a proof is genuine; None where there is none, or none that the keys say anything about."""
        if proof is None or proof.key_id not in self._keys:
            return None
        return hmac.compare_digest(proof.mac, _mac(self._keys[proof.key_id], entry_hash))


def keys_of(session: AsyncSession) -> AuditKeys:
    """Return the keys that came with a session's database."""
    keys: AuditKeys = session.info[_IN_SESSION]
    return keys


def _derived(secret: bytes) -> bytes:
    # HKDF (RFC 5869): the sealing key itself is used for nothing but sealing.
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_LABEL).derive(secret)


def _mac(key: bytes, entry_hash: bytes) -> bytes:
    return hmac.digest(key, entry_hash, hashlib.sha256)
