"""SQL of API keys. Every query but the ones of the key's own verification carries the owner."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from credentials.api_keys.models import ApiKey, ApiKeyVersion, KeyStatus
from credentials.api_keys.owner import Owner
from shared.key_format import Environment, Kind


async def add(session: AsyncSession, key: ApiKey) -> None:
    """Store a new key with its versions."""
    session.add(key)
    await session.flush()


async def find(session: AsyncSession, *, owner: Owner, key_id: UUID, lock: bool = False) -> ApiKey | None:
    """Return the owner's key with its versions; with ``lock``, nobody else changes it until this transaction ends."""
    condition = _owned_by(owner)
    if owner.reaches_platform_keys_of:
        reached = and_(ApiKey.tenant_id.is_(None), ApiKey.environment.in_(owner.reaches_platform_keys_of))
        condition = or_(condition, reached)
    statement = _with_versions(select(ApiKey).where(ApiKey.id == key_id, condition))
    return await session.scalar(statement.with_for_update(of=ApiKey) if lock else statement)


async def find_all(session: AsyncSession, *, owner: Owner, key_ids: Collection[UUID]) -> Sequence[ApiKey]:
    """Return those of the keys that are the owner's, with their versions."""
    statement = select(ApiKey).where(ApiKey.id.in_(key_ids), _owned_by(owner))
    return (await session.scalars(_with_versions(statement))).all()


async def find_own(session: AsyncSession, *, key_id: UUID) -> ApiKey | None:
    """Return the key that the caller proved to hold."""
    return await session.scalar(_with_versions(select(ApiKey).where(ApiKey.id == key_id)))


async def bounds_of(session: AsyncSession, *, key_id: UUID) -> tuple[Sequence[str], datetime | None] | None:
    """Return the address list and the end of the key that the caller proved to hold, as they are stored now."""
    statement = select(ApiKey.allowed_cidrs, ApiKey.expires_at).where(ApiKey.id == key_id)
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else (row.allowed_cidrs, row.expires_at)


async def find_by_hashes(session: AsyncSession, hashes: Sequence[bytes]) -> ApiKey | None:
    """Return the key that has one of these as a version, locked; for the commands of the platform."""
    statement = select(ApiKey).join(ApiKeyVersion).where(ApiKeyVersion.secret_hash.in_(hashes))
    return await session.scalar(_with_versions(statement).with_for_update(of=ApiKey))


async def find_by_maker(session: AsyncSession, *, created_by: str, name: str, now: datetime) -> Sequence[ApiKey]:
    """Return the platform's keys in force that this maker gave this name."""
    statement = select(ApiKey).where(
        ApiKey.tenant_id.is_(None), ApiKey.created_by == created_by, ApiKey.name == name, _has_status("active", now)
    )
    return (await session.scalars(_with_versions(statement))).all()


async def page(
    session: AsyncSession,
    *,
    owner: Owner,
    position: UUID | None,
    limit: int,
    now: datetime,
    status: KeyStatus | None,
    kind: Kind | None,
    environment: Environment | None,
    text: str | None,
) -> Sequence[ApiKey]:
    """Return up to ``limit`` keys, newest first, after ``position``."""
    statement = select(ApiKey).where(_owned_by(owner)).order_by(ApiKey.id.desc()).limit(limit)
    if position is not None:
        statement = statement.where(ApiKey.id < position)
    if status is not None:
        statement = statement.where(_has_status(status, now))
    if kind is not None:
        statement = statement.where(ApiKey.kind == kind)
    if environment is not None:
        statement = statement.where(ApiKey.environment == environment)
    if text is not None:
        shown = ApiKey.versions.any(
            or_(ApiKeyVersion.prefix.startswith(text, autoescape=True), ApiKeyVersion.last_four == text)
        )
        statement = statement.where(or_(ApiKey.name.icontains(text, autoescape=True), shown))
    return (await session.scalars(_with_versions(statement))).all()


async def remove(session: AsyncSession, key: ApiKey) -> None:
    """Delete a key with its versions and uses for good."""
    await session.execute(delete(ApiKey).where(ApiKey.id == key.id))
    session.expunge(key)


def _owned_by(owner: Owner) -> ColumnElement[bool]:
    whose = ApiKey.tenant_id.is_(None) if owner.tenant_id is None else ApiKey.tenant_id == owner.tenant_id
    return whose if owner.environment is None else and_(whose, ApiKey.environment == owner.environment)


def _has_status(status: KeyStatus, now: datetime) -> ColumnElement[bool]:
    """Express ApiKey.status in SQL."""
    if status == "revoked":
        return ApiKey.revoked_at.is_not(None)
    expired = and_(ApiKey.expires_at.is_not(None), ApiKey.expires_at <= now)
    return and_(ApiKey.revoked_at.is_(None), expired if status == "expired" else ~expired)


def _with_versions(statement: Select[ApiKey]) -> Select[ApiKey]:
    return statement.options(selectinload(ApiKey.versions).options(joinedload(ApiKeyVersion.last_use)))
