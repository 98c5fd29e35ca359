"""Whether a stored key is good at this moment, and if not, the exact reason: pure, no I/O.

Callers get one uniform answer; the reason is for the owner alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from uuid import UUID

from credentials.api_keys.grants import effective_scopes, holdable_scopes
from shared import typeids
from shared.access.jwt import AccessToken
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
    OTHER_ENVIRONMENT = "other_environment"
    CLIENT_MISMATCH = "client_mismatch"
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - the name of a reason, no secret
    TOKEN_WIDER_THAN_KEY = "token_wider_than_key"  # noqa: S105 - the same


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A version of a key or security token as read, with what its verdict depends on. Times are Unix seconds."""

    key_id: UUID
    version: int
    tenant_id: UUID | None
    tenant_suspended: bool
    legacy_signatures: bool
    kind: Kind
    environment: Environment
    name: str
    scopes: Sequence[str]
    roles: Sequence[str]
    own_role_scopes: Sequence[str]
    """What those of the roles that are the realm's own grant."""
    allowed_networks: Sequence[Network]
    revoked: bool
    expires_at: float | None
    version_ends_at: float | None
    pepper_id: str
    token_revoked: bool = False
    """Of a key that was looked up for an access token: whether that token was revoked, or what signed it dropped."""
    principal: Principal = field(init=False, repr=False, compare=False)
    """Who holds it, where nothing speaks against it: made once, used at each verification."""

    def __post_init__(self) -> None:
        """Make the principal."""
        object.__setattr__(self, "principal", _principal_of(self))

    @property
    def credential_id(self) -> str:
        """Return the id as owners and siblings know it."""
        return typeids.encode("stk" if self.kind == "security_token" else "key", self.key_id)


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
    return key.principal


def _principal_of(key: StoredKey) -> Principal:
    scopes = effective_scopes(key.scopes, key.roles, own_role_scopes=key.own_role_scopes)
    ends = [end for end in (key.expires_at, key.version_ends_at) if end is not None]
    return Principal(
        credential_id=key.credential_id,
        kind=key.kind,
        name=key.name,
        tenant_id=key.tenant_id,
        environment=key.environment,
        # Roles are changed after they were given: what a kind cannot hold, it does not get by a role either.
        scopes=scopes & holdable_scopes(key.kind),
        expires_at=min(ends) if ends else None,
        legacy_signatures=key.legacy_signatures,
    )


def judge_token(token: AccessToken, key: StoredKey, *, now: float, ip: Address | None) -> Principal | Reason:
    """Return the principal behind a genuine access token, or why it is refused: it is never good for more than its key."""
    if key.token_revoked:
        return Reason.TOKEN_REVOKED
    outcome = judge(key, now=now, ip=ip)
    if isinstance(outcome, Reason):
        return outcome
    if (token.tenant_id, token.environment, token.kind) != (key.tenant_id, key.environment, key.kind):
        return Reason.UNKNOWN
    if not token.scopes <= outcome.scopes:
        return Reason.TOKEN_WIDER_THAN_KEY
    principal = token.principal()
    ends = [end for end in (principal.expires_at, outcome.expires_at) if end is not None]
    return replace(principal, expires_at=min(ends))


def _is_listed(ip: Address | None, networks: Sequence[Network]) -> bool:
    """Match by network, not by text. An unknown address is on no list; an IPv4 address in IPv6 form counts as IPv4."""
    if ip is None:
        return False
    address = getattr(ip, "ipv4_mapped", None) or ip
    return any(address.version == network.version and address in network for network in networks)
