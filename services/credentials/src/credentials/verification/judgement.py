"""Whether a stored key is good at this moment, and if not, the exact reason: pure, no I/O.

Callers get one uniform answer; the reason is for the owner alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from credentials.api_keys.grants import effective_scopes
from shared import typeids
from shared.key_format import Environment, Kind
from shared.principals import Address, Principal
from shared.settings import Network


class Reason(StrEnum):
    """Why a credential was denied."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    REVOKED = "revoked"
    TENANT_SUSPENDED = "tenant_suspended"
    EXPIRED = "expired"
    VERSION_ENDED = "version_ended"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    SCOPE_MISSING = "scope_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key version as read from the database, with what its verdict depends on. Times are Unix seconds."""

    key_id: UUID
    version: int
    tenant_id: UUID | None
    tenant_suspended: bool
    kind: Kind
    environment: Environment
    name: str
    scopes: Sequence[str]
    roles: Sequence[str]
    allowed_networks: Sequence[Network]
    revoked: bool
    expires_at: float | None
    version_ends_at: float | None


def judge(key: StoredKey, *, now: float, ip: Address | None) -> Principal | Reason:
    """Return the principal behind a key, or why it is refused. ``now`` is Unix seconds."""
    if key.revoked:
        return Reason.REVOKED
    if key.tenant_suspended:
        return Reason.TENANT_SUSPENDED
    if key.expires_at is not None and now >= key.expires_at:
        return Reason.EXPIRED
    if key.version_ends_at is not None and now >= key.version_ends_at:
        return Reason.VERSION_ENDED
    if key.allowed_networks and not _is_listed(ip, key.allowed_networks):
        return Reason.ADDRESS_NOT_ALLOWED
    ends = [end for end in (key.expires_at, key.version_ends_at) if end is not None]
    return Principal(
        credential_id=typeids.encode("key", key.key_id),
        kind=key.kind,
        name=key.name,
        tenant_id=key.tenant_id,
        environment=key.environment,
        scopes=effective_scopes(key.scopes, key.roles),
        expires_at=min(ends) if ends else None,
    )


def _is_listed(ip: Address | None, networks: Sequence[Network]) -> bool:
    """Match by network, not by text. An unknown address is on no list; an IPv4 address in IPv6 form counts as IPv4."""
    if ip is None:
        return False
    address = getattr(ip, "ipv4_mapped", None) or ip
    return any(address.version == network.version and address in network for network in networks)
