"""The bounded memory of looked-up keys, under a fingerprint that means nothing outside this process."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from credentials.verification.judgement import StoredKey

KNOWN_MAX = 50_000
UNKNOWN_MAX = 10_000
KNOWN_SECONDS = 60.0
UNKNOWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What Postgres said about a key text, and the sequence at which it said so. ``key`` is None for an unknown one."""

    key: StoredKey | None
    sequence: int
    epoch: int
    read_at: float
    token_targets: tuple[UUID, ...] = ()
    """What else a revocation may name where it was found for an access token."""


class Memory:
    """Least recently used goes first. Unknown keys have a small room of their own, so that guessing cannot push out real ones."""

    def __init__(self, *, known_max: int = KNOWN_MAX, unknown_max: int = UNKNOWN_MAX) -> None:
        self._fingerprint_key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, Found] = OrderedDict()
        self._unknown: OrderedDict[bytes, Found] = OrderedDict()
        self._known_max = known_max
        self._unknown_max = unknown_max

    def fingerprint(self, credential: str) -> bytes:
        """Return the name under which a credential is remembered."""
        # No credential has a character beyond ASCII, so none shares its name with a text that has.
        return hmac.digest(self._fingerprint_key, credential.encode("ascii", "replace"), hashlib.sha256)

    def get(self, fingerprint: bytes, *, now: float) -> Found | None:
        """Return what is remembered and not too old; whether a revocation voids it is the caller's question."""
        found = self._known.get(fingerprint)
        if found is not None:
            self._known.move_to_end(fingerprint)
            return found if now - found.read_at < KNOWN_SECONDS else None
        found = self._unknown.get(fingerprint)
        return found if found is not None and now - found.read_at < UNKNOWN_SECONDS else None

    def put(self, fingerprint: bytes, found: Found) -> None:
        """Remember an answer in place of an older one."""
        self._known.pop(fingerprint, None)
        self._unknown.pop(fingerprint, None)
        room, room_max = (self._unknown, self._unknown_max) if found.key is None else (self._known, self._known_max)
        room[fingerprint] = found
        while len(room) > room_max:
            room.popitem(last=False)

    def __len__(self) -> int:
        return len(self._known) + len(self._unknown)
