"""Writing the audit log: every mutation calls ``record`` in its own transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit import repository
from credentials.audit.chain import AuditEntry, canonical_json, entry_hash
from credentials.audit.proof import keys_of
from shared import typeids
from shared.addresses import plain
from shared.principals import Address, Principal

PLATFORM_CHAIN = UUID(int=0)
"""The chain of what belongs to no tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did something, and through which request."""

    kind: str
    id: str
    request_id: str | None = None
    ip: Address | None = None

    @classmethod
    def of(cls, principal: Principal, *, request_id: str, ip: Address | None) -> "Actor":
        """Return the actor behind a verified credential."""
        kind = "security_token" if principal.kind == "security_token" else "api_key"
        return cls(kind=kind, id=principal.credential_id, request_id=request_id, ip=ip)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What it was done to; ``tenant_id`` is None for what belongs to no tenant."""

    kind: str
    id: str
    tenant_id: UUID | None
    environment: str | None = None


async def record(
    session: AsyncSession,
    *,
    action: str,
    actor: Actor,
    target: Target,
    changes: Mapping[str, Any] | None = None,
    denied_because: str | None = None,
    at: datetime | None = None,
) -> None:
    """Append an entry to the chain of the target's tenant. ``changes`` holds no secret, and no fraction.

    The chain's head stays locked until the transaction ends, so mutations of one tenant are recorded one after another.
    ``at`` is for what happened a little earlier than it is written.
    """
    chain_id = target.tenant_id or PLATFORM_CHAIN
    head = await repository.lock_head(session, chain_id=chain_id)
    entry = AuditEntry(
        id=typeids.new_id(),
        chain_id=chain_id,
        number=head.number + 1,
        environment=target.environment,
        at=at or datetime.now(UTC),
        action=action,
        actor_kind=actor.kind,
        actor_id=actor.id,
        target_kind=target.kind,
        target_id=target.id,
        outcome="allowed" if denied_because is None else "denied",
        reason=denied_because,
        request_id=actor.request_id,
        ip=str(plain(actor.ip)) if actor.ip else None,
        changes=canonical_json(changes or {}),
    )
    new_hash = entry_hash(entry, previous_hash=head.hash)
    await repository.append(
        session, entry, previous_hash=head.hash, entry_hash=new_hash, proof=keys_of(session).prove(new_hash)
    )
