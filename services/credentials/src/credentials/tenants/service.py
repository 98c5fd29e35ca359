"""Rules of tenants. Functions take the request's session and leave the commit to its edge."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit.service import Actor, Target, record
from credentials.revocations.feed import RevocationFeed
from credentials.security_tokens import service as security_tokens
from credentials.security_tokens.issuer import TokenIssuer
from credentials.tenants import repository
from credentials.tenants.models import Tenant
from credentials.tenants.schemas import TenantChange, TenantCreate, TenantView, view_of
from shared import typeids
from shared.pagination import Page, PageQuery, page_of
from shared.problems import NotFound


async def create(
    session: AsyncSession, *, actor: Actor, wanted: TenantCreate, issuer: TokenIssuer, now: datetime
) -> Tenant:
    """Make a tenant, with its security token."""
    tenant = Tenant(id=typeids.new_id(), name=wanted.name, status="active", created_at=now, legacy_signatures=False)
    await repository.add(session, tenant)
    token = await security_tokens.create(session, tenant_id=tenant.id, created_by=actor.id, issuer=issuer, now=now)
    changes = {"name": tenant.name, "security_token": {"last_four": token.current.last_four}}
    await record(session, action="tenant.created", actor=actor, target=_target(tenant), changes=changes)
    return tenant


async def list_tenants(session: AsyncSession, *, query: PageQuery) -> Page[TenantView]:
    """Return one page of all tenants."""
    tenants = await repository.page(session, position=query.position, limit=query.limit + 1)
    return page_of(tenants, limit=query.limit, position=lambda tenant: tenant.id, item=view_of)


async def get(session: AsyncSession, *, tenant_id: UUID) -> Tenant:
    """Return a tenant; raises NotFound."""
    tenant = await repository.find(session, tenant_id)
    if tenant is None:
        raise NotFound
    return tenant


async def hold(session: AsyncSession, *, tenant_id: UUID) -> None:
    """Make sure that a tenant exists until this transaction ends; raises NotFound."""
    if not await repository.hold(session, tenant_id):
        raise NotFound("There is no such tenant.")


async def change(
    session: AsyncSession, *, actor: Actor, tenant_id: UUID, wanted: TenantChange, feed: RevocationFeed
) -> Tenant:
    """Rename, suspend or activate a tenant; raises NotFound. Suspending denies its every credential within a second."""
    tenant = await repository.lock(session, tenant_id)
    if tenant is None:
        raise NotFound
    asked = wanted.model_dump(exclude_unset=True)
    changes = {
        field: [getattr(tenant, field), value] for field, value in asked.items() if getattr(tenant, field) != value
    }
    if not changes:
        return tenant
    for field, (_, value) in changes.items():
        setattr(tenant, field, value)
    action = "tenant.updated"
    if "status" in changes:
        action = "tenant.suspended" if tenant.status == "suspended" else "tenant.activated"
    await record(session, action=action, actor=actor, target=_target(tenant), changes=changes)
    if changes.keys() & {"status", "legacy_signatures"}:
        # Also on activation: a denial that is still remembered is as wrong as a permission.
        await feed.announce(session, target_kind="tenant", target_id=tenant.id, reason=action)
    return tenant


def _target(tenant: Tenant) -> Target:
    return Target(kind="tenant", id=typeids.encode("ten", tenant.id), tenant_id=tenant.id)
