"""Whose keys a call is about.

A tenant's credential acts on its own tenant: a test credential on the test keys alone, a live one on those of both
environments. A platform credential acts on the tenant it names with ``X-Tenant-Id``, and without that header on the platform's
own service keys. ``X-Environment`` narrows a call to the keys of one.
"""

from dataclasses import dataclass
from uuid import UUID

from credentials.audit.service import Actor
from shared.key_format import Environment
from shared.principals import Address, Principal, Realm

_PLATFORM_REALM_ID = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The owner of the keys in question. No tenant: the platform. No environment: both."""

    tenant_id: UUID | None
    environment: Environment | None
    reaches_platform_keys_of: tuple[Environment, ...] = ()
    """By id, a platform credential reaches the platform's own keys also while it names a tenant: a live one all of them."""

    def covers(self, environment: Environment) -> bool:
        """Tell whether the call is about keys of this environment."""
        return self.environment in {None, environment}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCaller:
    """A principal in one request about keys."""

    principal: Principal
    owner: Owner
    request_id: str
    ip: Address | None

    @property
    def actor(self) -> Actor:
        """Return who the audit log names."""
        return Actor.of(self.principal, request_id=self.request_id, ip=self.ip)

    @property
    def realm(self) -> Realm:
        """Return the realm in which Idempotency-Keys are told apart."""
        return Realm(
            tenant_id=self.owner.tenant_id or _PLATFORM_REALM_ID,
            environment=self.owner.environment or self.principal.environment,
        )
