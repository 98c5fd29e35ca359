"""The hash chain of the audit log: each entry's hash covers its content and the hash before it.

Whoever reads the log can check it. That no other chain stands in its place is what the proof beside each hash shows, see
``proof``.
"""

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson

FIRST_PREVIOUS_HASH = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry as it is stored. ``changes`` is canonical JSON text; ``chain_id`` and ``number`` give its place."""

    id: UUID
    chain_id: UUID
    number: int
    environment: str | None
    at: datetime
    action: str
    actor_kind: str
    actor_id: str
    target_kind: str
    target_id: str
    outcome: Literal["allowed", "denied"]
    reason: str | None
    request_id: str | None
    ip: str | None
    changes: str


def entry_hash(entry: AuditEntry, *, previous_hash: bytes) -> bytes:
    """Return SHA-256 over the previous hash and the entry as canonical JSON."""
    return hashlib.sha256(previous_hash + canonical_json(asdict(entry)).encode()).digest()


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, the same for the same value at any time."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z).decode()


def _plain(value: object) -> str:
    # The database driver's UUIDs are a subclass that orjson does not know.
    if isinstance(value, UUID):
        return str(value)
    raise TypeError
