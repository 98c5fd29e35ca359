"""All SQL of wallet systems, their API keys and the nonces that were used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.types import DateTime, Text, Uuid

_PUT_SYSTEM = text("""
INSERT INTO systems (id, name, holds, hold_seconds) VALUES (:id, :name, :holds, :hold_seconds)
ON CONFLICT (name) DO UPDATE SET holds = excluded.holds, hold_seconds = excluded.hold_seconds
RETURNING id, name, holds, hold_seconds, latest_seq
""")
_FIND_SYSTEM = text("SELECT id, name, holds, hold_seconds, latest_seq FROM systems WHERE name = :name")
_PUT_KEY = text("""
INSERT INTO api_keys (id, system_id, key_id, algorithm, sealed_secret, public_key, response_public_key, ends_at)
VALUES (:id, :system_id, :key_id, :algorithm, :sealed_secret, :public_key, :response_public_key, :ends_at)
ON CONFLICT (key_id) DO UPDATE SET id = excluded.id, algorithm = excluded.algorithm, ends_at = excluded.ends_at,
    sealed_secret = excluded.sealed_secret, public_key = excluded.public_key,
    response_public_key = excluded.response_public_key
WHERE api_keys.system_id = excluded.system_id RETURNING true
""")
_PUBLIC_KEYS = text("""
SELECT key_id, response_public_key FROM api_keys
WHERE response_public_key IS NOT NULL AND (CAST(:system_id AS uuid) IS NULL OR system_id = :system_id)
ORDER BY created_at DESC LIMIT :limit
""")
_FIND_KEYS = text("""
SELECT api_keys.id, key_id, system_id, algorithm, sealed_secret, public_key, ends_at, name, holds, hold_seconds
FROM api_keys JOIN systems ON systems.id = system_id WHERE key_id = ANY(:key_ids)
""").bindparams(bindparam("key_ids", type_=ARRAY(Text)))
# The commit need not wait for the disk: what a crash of the database could lose is less than a second of nonces, and every call
# they protect is idempotent.
_REMEMBER_NONCES = text("""
WITH relaxed AS (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO nonces (system_id, nonce, expires_at)
SELECT used.* FROM relaxed, unnest(:system_ids, :nonces, :expiries) AS used (system_id, nonce, expires_at)
ON CONFLICT DO NOTHING RETURNING system_id, nonce
""").bindparams(
    bindparam("system_ids", type_=ARRAY(Uuid)),
    bindparam("nonces", type_=ARRAY(Text)),
    bindparam("expiries", type_=ARRAY(DateTime(timezone=True))),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A wallet system: its own keys, wallets, transfers and feed. ``hold_seconds`` None: holds never end by themselves."""

    id: UUID
    name: str
    holds: bool
    hold_seconds: int | None
    latest_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """An API key of a system, with what a call needs to know of the system.

    Sealed is the API key's text (``hmac-sha256``), or the wallet's own private key, the ``public_key`` being the caller's.
    """

    id: UUID
    key_id: str
    system_id: UUID
    algorithm: Literal["hmac-sha256", "ed25519"]
    sealed_secret: bytes
    public_key: str | None
    ends_at: datetime | None
    name: str
    holds: bool
    hold_seconds: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedNonce:
    """A nonce of a request that was proved, and until when its replay could be accepted."""

    system_id: UUID
    nonce: str
    expires_at: datetime


async def put_system(session: AsyncSession, values: dict[str, Any]) -> System:
    """Make a system, or change the one of this name."""
    return System(**(await session.execute(_PUT_SYSTEM, values)).one()._mapping)


async def find_system(session: AsyncSession, *, name: str) -> System | None:
    """Return the system of this name."""
    row = (await session.execute(_FIND_SYSTEM, {"name": name})).one_or_none()
    return None if row is None else System(**row._mapping)


async def put_key(session: AsyncSession, values: dict[str, Any]) -> bool:
    """Make or replace an API key; False if its id belongs to another system."""
    return (await session.execute(_PUT_KEY, values)).first() is not None


async def delete_key(session: AsyncSession, *, system_id: UUID, key_id: str) -> None:
    """End an API key at once."""
    statement = text("DELETE FROM api_keys WHERE system_id = :system_id AND key_id = :key_id")
    await session.execute(statement, {"system_id": system_id, "key_id": key_id})


async def find_keys(connection: AsyncConnection, *, key_ids: Sequence[str]) -> Sequence[StoredKey]:
    """Return the API keys of these ids, whether or not they have ended."""
    rows = await connection.execute(_FIND_KEYS, {"key_ids": list(key_ids)})
    return [StoredKey(**row._mapping) for row in rows]


async def public_keys(connection: AsyncConnection, *, system_id: UUID | None, limit: int) -> dict[str, str]:
    """Return with what answers are verified, by key id: of one system, or of all; the newest ones."""
    rows = await connection.execute(_PUBLIC_KEYS, {"system_id": system_id, "limit": limit})
    return {row.key_id: row.response_public_key for row in rows}


async def remember_nonces(connection: AsyncConnection, used: Sequence[UsedNonce]) -> frozenset[tuple[UUID, str]]:
    """Note nonces as used; returns those that were not yet, in whatever process. Each may be there once.

    By system and not by key: during a rotation a request has a signature of each key, all with the same nonce.
    """
    values = {
        "system_ids": [item.system_id for item in used],
        "nonces": [item.nonce for item in used],
        "expiries": [item.expires_at for item in used],
    }
    rows = await connection.execute(_REMEMBER_NONCES, values)
    return frozenset((row.system_id, row.nonce) for row in rows)


async def forget_nonces(connection: AsyncConnection, *, before: datetime) -> None:
    """Delete nonces whose signatures are too old to be accepted anyway."""
    await connection.execute(text("DELETE FROM nonces WHERE expires_at < :before"), {"before": before})


async def restore(session: AsyncSession, *, system_id: UUID, seq: int) -> None:
    """Take a system back to what it was after change ``seq``, as if an old backup had been restored."""
    values = {"system_id": system_id, "seq": seq}
    for statement in _RESTORE:
        await session.execute(text(statement), values)


_RESTORE = (
    "SELECT 1 FROM systems WHERE id = :system_id FOR UPDATE",
    """
    UPDATE wallets SET ledger = wallets.ledger - undone.ledger, held = wallets.held - undone.held, version = version + 1
    FROM (
        SELECT wallet_id, sum(ledger_delta) AS ledger, sum(held_delta) AS held FROM feed
        WHERE system_id = :system_id AND seq > :seq AND wallet_id IS NOT NULL GROUP BY wallet_id
    ) AS undone
    WHERE wallets.system_id = :system_id AND wallets.wallet_id = undone.wallet_id
    """,
    """
    UPDATE transfers SET state = answer ->> 'state', error_code = answer #>> '{error,code}',
        error_detail = answer #>> '{error,detail}', wallet_txn_id = answer ->> 'wallet_txn_id',
        balance_after = answer ->> 'balance_after', seq = kept.seq
    FROM (
        SELECT DISTINCT ON (transfer_id) transfer_id, seq, answer FROM feed
        WHERE system_id = :system_id AND seq <= :seq ORDER BY transfer_id, seq DESC
    ) AS kept
    WHERE transfers.system_id = :system_id AND transfers.transfer_id = kept.transfer_id AND transfers.seq > :seq
    """,
    "DELETE FROM transfers WHERE system_id = :system_id AND seq > :seq",
    "DELETE FROM feed WHERE system_id = :system_id AND seq > :seq",
    "UPDATE systems SET latest_seq = least(latest_seq, :seq) WHERE id = :system_id",
)
