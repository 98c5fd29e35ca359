"""How keys are kept: HMAC-SHA256 under a server pepper. A slow password hash would add nothing to 256 random bits."""

import hashlib
import hmac
from dataclasses import dataclass

from pydantic import SecretStr

from shared.sealing import KeyringMalformedError, parse_keys

_PEPPER_BYTES = 32


@dataclass(frozen=True, slots=True)
class HashedKey:
    """What is stored of a key: under which pepper, and the hash."""

    pepper_id: str
    secret_hash: bytes


class PepperRing:
    """The active peppers: the first hashes new keys, keys are looked up under all of them."""

    def __init__(self, peppers: dict[str, bytes]) -> None:
        if not peppers:
            raise KeyringMalformedError("CAUSEWAY_PEPPERS holds no pepper")
        if any(len(pepper) != _PEPPER_BYTES for pepper in peppers.values()):
            raise KeyringMalformedError("a pepper has 32 bytes")
        self._peppers = dict(peppers)
        self.current_id = next(iter(peppers))

    @classmethod
    def from_text(cls, text: SecretStr) -> "PepperRing":
        """Read ``<id>:<base64 of 32 bytes>[,…]``; raises KeyringMalformedError."""
        return cls(parse_keys(text))

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of all active peppers, the current one first."""
        return tuple(self._peppers)

    def hash(self, key: str) -> HashedKey:
        """Return the stored form of a new key."""
        return HashedKey(self.current_id, _hmac(self._peppers[self.current_id], key))

    def candidates(self, key: str) -> list[bytes]:
        """Return every hash under which the key may be stored."""
        return [_hmac(pepper, key) for pepper in self._peppers.values()]


def _hmac(pepper: bytes, key: str) -> bytes:
    return hmac.digest(pepper, key.encode("ascii"), hashlib.sha256)
