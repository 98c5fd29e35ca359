"""Who calls: the verified credential, the realm it acts in, and their JSON form.

Used by every service, which import these names
from ``shared.access``.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from uuid import UUID

from shared import addresses, key_format, typeids
from shared.key_format import Environment
from shared.rate_limits import Allowance

Address = addresses.Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Realm:
    """One tenant in one environment: the owner of every row."""

    tenant_id: UUID
    environment: Environment
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A realm is the key of most that is remembered, and a UUID's own hash is not: it is made once.
        object.__setattr__(self, "_hash", hash((self.tenant_id, self.environment)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A verified credential. ``tenant_id`` is None for service credentials, which may act for any tenant."""

    credential_id: str
    kind: key_format.Kind
    name: str
    tenant_id: UUID | None
    environment: Environment
    scopes: frozenset[str]
    expires_at: float | None = None
    """Unix seconds; no answer is used past it."""
    legacy_signatures: bool = False
    """Whether its tenant takes calls the older way: the key in the header ``key``, bodies signed with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A principal in one request, acting in one realm."""

    principal: Principal
    realm: Realm
    request_id: str
    ip: Address | None

    @property
    def actor(self) -> str:
        """Return the id that audit entries and ``created_by`` name."""
        return self.principal.credential_id


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformCaller:
    """A service principal in a call that belongs to no tenant."""

    principal: Principal
    request_id: str
    ip: Address | None


class AccessUnavailableError(Exception):
    """Credentials could not be asked, and no usable answer is at hand."""


class TooManyGuessesError(Exception):
    """A credential failed, or could not even be looked up, after too many others from the same address."""

    def __init__(self, allowance: Allowance, *, retry_after_seconds: float) -> None:
        super().__init__()
        self.allowance = allowance
        self.retry_after_seconds = retry_after_seconds


Refusal = Literal["legacy_off", "bad_signature", "tenant_mismatch"]
"""Called the older way while that is off; a body without its signature; another realm named than the credential's."""


class Verifier(Protocol):
    """Turns a credential into a principal."""

    async def verify(self, credential: str, *, ip: Address | None, scope: str) -> Principal | None:
        """Return the principal, or None for any invalid credential.

        Raises AccessUnavailableError or TooManyGuessesError.
        """
        ...

    def denied(self, credential: str, principal: Principal, *, reason: Refusal, ip: Address | None) -> None:
        """Have the owner told that the credential was good and its request was refused all the same; costs no waiting."""
        ...


def principal_to_wire(principal: Principal) -> dict[str, Any]:
    """Return the JSON form in the answer of ``POST /v1/verify``."""
    return {
        "credential_id": principal.credential_id,
        "kind": principal.kind,
        "name": principal.name,
        "tenant_id": typeids.encode("ten", principal.tenant_id) if principal.tenant_id else None,
        "environment": principal.environment,
        "scopes": sorted(principal.scopes),
        "expires_at": principal.expires_at,
        "legacy_signatures": principal.legacy_signatures,
    }


def principal_from_wire(data: dict[str, Any]) -> Principal:
    """Read the JSON form; raises KeyError, TypeError or ValueError for anything else."""
    return Principal(
        credential_id=data["credential_id"],
        kind=data["kind"],
        name=data["name"],
        tenant_id=typeids.decode("ten", data["tenant_id"]) if data["tenant_id"] else None,
        environment=data["environment"],
        scopes=frozenset(data["scopes"]),
        expires_at=data["expires_at"],
        legacy_signatures=bool(data.get("legacy_signatures", False)),
    )
