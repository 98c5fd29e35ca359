"""What a sibling remembers of credentials' answers, and how a revocation finds the ones it voids.

Answers stand under a fingerprint that means nothing outside this process, and are indexed by the credential and the tenant
they are about. Bounded; denials have a small room of their own, so that guessing cannot push out real answers.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from shared import typeids
from shared.principals import Address, Principal

VALID_MAX = 50_000
DENIED_MAX = 10_000


@dataclass(slots=True, kw_only=True)
class Answer:
    """What credentials said about a credential used from an address. ``principal`` is None for a denial."""

    principal: Principal | None
    asked_at: float
    told_scopes: frozenset[str]
    """The scopes that credentials was told this credential exercised."""
    token_targets: tuple[UUID, ...] = ()
    """What else a revocation may name where the credential is an access token: the token, and the key that signed it."""

    @property
    def targets(self) -> tuple[UUID, ...]:
        """Return all that a revocation may name to void this answer."""
        return self.token_targets + (targets_of(self.principal) if self.principal is not None else ())


class Answers:
    """Least recently used goes first."""

    def __init__(self, *, valid_max: int = VALID_MAX, denied_max: int = DENIED_MAX) -> None:
        self._fingerprint_key = secrets.token_bytes(32)
        self._valid: OrderedDict[bytes, Answer] = OrderedDict()
        self._denied: OrderedDict[bytes, Answer] = OrderedDict()
        self._places: dict[UUID, set[bytes]] = {}
        self._valid_max = valid_max
        self._denied_max = denied_max

    def fingerprint(self, credential: str, ip: Address | None) -> bytes:
        """Return the name of a credential used from an address. No credential holds a NUL: headers cannot carry one."""
        place = f"{credential}\0".encode() + (ip.packed if ip is not None else b"")
        return hmac.digest(self._fingerprint_key, place, hashlib.sha256)

    def get(self, fingerprint: bytes) -> Answer | None:
        """Return what is remembered; whether it may still be used is the caller's question."""
        answer = self._valid.get(fingerprint)
        if answer is not None:
            self._valid.move_to_end(fingerprint)
            return answer
        return self._denied.get(fingerprint)

    def put(self, fingerprint: bytes, answer: Answer) -> None:
        """Remember an answer, unless the one that is remembered was asked for later."""
        known = self._valid.get(fingerprint) or self._denied.get(fingerprint)
        if known is not None and known.asked_at > answer.asked_at:
            return
        self._forget(fingerprint)
        if answer.principal is None:
            self._denied[fingerprint] = answer
            if len(self._denied) > self._denied_max:
                self._denied.popitem(last=False)
            return
        self._valid[fingerprint] = answer
        for target in answer.targets:
            self._places.setdefault(target, set()).add(fingerprint)
        if len(self._valid) > self._valid_max:
            self._forget(next(iter(self._valid)))

    def drop(self, target: UUID) -> None:
        """Forget every answer about a credential, or about all credentials of a tenant."""
        for fingerprint in [*self._places.get(target, ())]:
            self._forget(fingerprint)

    def clear(self) -> None:
        """Forget everything."""
        self._valid.clear()
        self._denied.clear()
        self._places.clear()

    def _forget(self, fingerprint: bytes) -> None:
        self._denied.pop(fingerprint, None)
        answer = self._valid.pop(fingerprint, None)
        if answer is None:
            return
        for target in answer.targets:
            fingerprints = self._places[target]
            fingerprints.discard(fingerprint)
            if not fingerprints:
                del self._places[target]

    def __len__(self) -> int:
        return len(self._valid) + len(self._denied)


def targets_of(principal: Principal) -> tuple[UUID, ...]:
    """Return what a revocation may name to void an answer about this principal."""
    prefix, _, _ = principal.credential_id.rpartition("_")
    credential = typeids.decode(prefix, principal.credential_id)
    return (credential,) if principal.tenant_id is None else (credential, principal.tenant_id)
