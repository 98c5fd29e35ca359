"""SQL of ``oauth_signing_keys``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

State = Literal["next", "active", "previous"]
_LOCK_KEY = 0x0CA05E_51E7  # one arbitrary number for "changing signing keys", the same in every release


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSigningKey:
    """A signing key as it is stored; a previous one has no private part any more."""

    id: UUID
    state: State
    public_jwk: str
    sealed_private_key: bytes | None
    created_at: datetime
    activated_at: datetime | None


async def take_turn(session: AsyncSession) -> None:
    """Keep everybody else who changes signing keys waiting until this transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})


async def everything(connection: AsyncConnection | AsyncSession) -> Sequence[StoredSigningKey]:
    """Return all keys, the newest first."""
    rows = await connection.execute(
        text(
            "SELECT id, state, public_jwk, sealed_private_key, created_at, activated_at FROM oauth_signing_keys"
            " ORDER BY id DESC"
        )
    )
    return [StoredSigningKey(**row._mapping) for row in rows]


async def everything_with_sequence(connection: AsyncConnection) -> tuple[Sequence[StoredSigningKey], int]:
    """Return all keys, the newest first, and where the revocation feed stood: one statement, so one snapshot."""
    rows = await connection.execute(
        text(
            "SELECT s.value AS sequence, k.id, k.state, k.public_jwk, k.sealed_private_key, k.created_at, k.activated_at"
            " FROM revocation_sequence s LEFT JOIN oauth_signing_keys k ON true ORDER BY k.id DESC"
        )
    )
    found = [dict(row._mapping) for row in rows]
    sequences = [row.pop("sequence") for row in found]
    return [StoredSigningKey(**row) for row in found if row["id"] is not None], sequences[0]


async def add(session: AsyncSession, key: StoredSigningKey) -> None:
    """Store a new key."""
    await session.execute(
        text(
            "INSERT INTO oauth_signing_keys (id, state, public_jwk, sealed_private_key, created_at, activated_at)"
            " VALUES (:id, :state, :public_jwk, :sealed_private_key, :created_at, :activated_at)"
        ),
        {
            "id": key.id,
            "state": key.state,
            "public_jwk": key.public_jwk,
            "sealed_private_key": key.sealed_private_key,
            "created_at": key.created_at,
            "activated_at": key.activated_at,
        },
    )


async def retire_active(session: AsyncSession, *, now: datetime) -> None:
    """End the active key's signing and destroy its private part."""
    await session.execute(
        text(
            "UPDATE oauth_signing_keys SET state = 'previous', retired_at = :now, sealed_private_key = NULL"
            " WHERE state = 'active'"
        ),
        {"now": now},
    )


async def activate_next(session: AsyncSession, *, now: datetime) -> None:
    """Let the next key sign."""
    await session.execute(
        text("UPDATE oauth_signing_keys SET state = 'active', activated_at = :now WHERE state = 'next'"), {"now": now}
    )


async def drop_retired_before(session: AsyncSession, moment: datetime) -> None:
    """Drop the keys whose tokens have all ended."""
    await session.execute(
        text("DELETE FROM oauth_signing_keys WHERE state = 'previous' AND retired_at < :moment"), {"moment": moment}
    )


async def drop_all(session: AsyncSession) -> Sequence[UUID]:
    """Drop every key at once, and return their ids."""
    return (await session.scalars(text("DELETE FROM oauth_signing_keys RETURNING id"))).all()
