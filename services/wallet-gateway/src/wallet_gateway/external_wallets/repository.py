"""All SQL of external wallets and the home wallet. Every query carries the realm."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shared.access import Realm
from shared.database import Database
from shared.problems import NotFound

Lock = Literal["KEY SHARE", "NO KEY UPDATE", "UPDATE"]
"""Whoever begins a transfer holds the wallet ``KEY SHARE``: it is not deleted meanwhile. ``NO KEY UPDATE`` is for changes, which
wait for one another and not for transfers; ``UPDATE`` is for what no transfer may begin beside.
"""

WalletRef = UUID | Literal["home"]
"""A wallet as calls name it: an id, or the realm's home wallet."""

_OWN_COLUMNS = """external_wallets.id, tenant_id, environment, is_home, name, base_url, protocol, response_signatures,
    transfer_call, timeout_seconds, balance_cache_seconds, step_seconds, metadata, enabled, disabled_at, frozen,
    frozen_reason, frozen_at, capabilities, capabilities_at, external_wallets.created_at, created_by, updated_at, deleted_at,
    (SELECT open_until FROM wallet_breakers WHERE wallet_id = external_wallets.id AND open_until > now()) AS broken_until"""
_COLUMNS = f"""{_OWN_COLUMNS},
    (SELECT id FROM wallet_keys WHERE wallet_id = external_wallets.id ORDER BY id DESC LIMIT 1) AS key_id"""  # noqa: S608 - names are ours
_WITH_KEYS = f"""
    SELECT {_OWN_COLUMNS}, keys.id AS key_id, keys.sealed_secret AS key_sealed_secret, keys.created_at AS key_created_at,
        keys.expires_at AS key_expires_at
    FROM external_wallets LEFT JOIN wallet_keys AS keys
        ON keys.wallet_id = external_wallets.id AND (keys.expires_at IS NULL OR keys.expires_at > now())
    """  # noqa: S608 - names are ours
_ONE_WITH_KEYS = f"""{_WITH_KEYS} WHERE external_wallets.id = $1 AND tenant_id = $2 AND environment = $3
    AND deleted_at IS NULL ORDER BY keys.id DESC
    """
_KEY_NAMES = ("id", "sealed_secret", "created_at", "expires_at")
_JSON = frozenset({"transfer_call", "metadata", "capabilities"})
_CHANGEABLE = frozenset(
    {"name", "base_url", "protocol", "response_signatures", "transfer_call", "timeout_seconds", "balance_cache_seconds"}
    | {"step_seconds", "metadata", "enabled", "disabled_at", "frozen", "frozen_reason", "frozen_at"}
    | {"capabilities", "capabilities_at"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """One row of ``external_wallets``."""

    id: UUID
    tenant_id: UUID
    environment: Literal["live", "test"]
    is_home: bool
    name: str
    base_url: str
    protocol: Literal["ewp/1", "crm-v1"]
    response_signatures: Literal["required", "optional"]
    transfer_call: dict[str, Any] | None
    timeout_seconds: int
    balance_cache_seconds: int
    step_seconds: int
    metadata: dict[str, Any]
    enabled: bool
    disabled_at: datetime | None
    frozen: bool
    frozen_reason: str | None
    frozen_at: datetime | None
    capabilities: dict[str, Any] | None
    capabilities_at: datetime | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    deleted_at: datetime | None
    key_id: UUID | None
    """The newest key's; None where the wallet is deleted, or has just been inserted."""
    broken_until: datetime | None
    """Until when some process found it broken; None while nobody does."""

    @property
    def realm(self) -> Realm:
        """Return its owner."""
        return Realm(tenant_id=self.tenant_id, environment=self.environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """One row of ``wallet_keys``."""

    id: UUID
    wallet_id: UUID
    sealed_secret: bytes
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWallet:
    """A wallet with the keys that sign now, newest first, still sealed: what ``Endpoints.open`` turns into an Endpoint."""

    wallet: Wallet
    keys: list[SealedKey]


async def load_endpoint(
    session: AsyncSession, *, realm: Realm, wallet: WalletRef, with_deleted: bool = False
) -> StoredWallet:
    """Return a wallet with its keys, in one statement; raises NotFound.

    Neither enabled nor frozen are judged here. ``with_deleted`` is for history; the keys of a deleted wallet are gone.
    """
    which = "is_home AND deleted_at IS NULL" if wallet == "home" else "external_wallets.id = :id"
    statement = text(
        f"{_WITH_KEYS} WHERE {which} AND tenant_id = :tenant_id AND environment = :environment"
        f"{'' if with_deleted else ' AND deleted_at IS NULL'} ORDER BY keys.id DESC"
    )
    values = {**_realm(realm), **({} if wallet == "home" else {"id": wallet})}
    return _found(_stored((await session.execute(statement, values)).mappings()))


async def read_endpoint(database: Database, *, realm: Realm, wallet_id: UUID) -> StoredWallet:
    """Return what ``load_endpoint`` does of a wallet that is not deleted, in half the time; raises NotFound."""
    return _found(_stored(await database.read(_ONE_WITH_KEYS, wallet_id, realm.tenant_id, realm.environment)))


async def find(
    session: AsyncSession,
    *,
    realm: Realm,
    wallet: WalletRef,
    with_deleted: bool = False,
    lock: Lock | None = None,
) -> Wallet | None:
    """Return a wallet of the realm, home or not."""
    which = "is_home AND deleted_at IS NULL" if wallet == "home" else "id = :id"
    statement = text(
        f"SELECT {_COLUMNS} FROM external_wallets WHERE {which} AND tenant_id = :tenant_id AND environment = :environment"  # noqa: S608 - names are ours
        f"{'' if with_deleted else ' AND deleted_at IS NULL'}{f' FOR {lock} OF external_wallets' if lock else ''}"
    )
    values = {**_realm(realm), **({} if wallet == "home" else {"id": wallet})}
    row = (await session.execute(statement, values)).one_or_none()
    return None if row is None else Wallet(**row._mapping)


async def find_versioned(connection: AsyncConnection, *, realm: Realm, wallet: WalletRef) -> tuple[Wallet, str] | None:
    """Return a wallet of the realm that is not deleted, with the version of its row: another one after each change."""
    which = "is_home" if wallet == "home" else "id = :id"
    statement = text(
        f"SELECT {_COLUMNS}, CAST(xmin AS text) AS row_version FROM external_wallets"  # noqa: S608 - names are ours
        f" WHERE {which} AND tenant_id = :tenant_id AND environment = :environment AND deleted_at IS NULL"
    )
    values = {**_realm(realm), **({} if wallet == "home" else {"id": wallet})}
    row = (await connection.execute(statement, values)).mappings().one_or_none()
    if row is None:
        return None
    columns = dict(row)
    version: str = columns.pop("row_version")
    return Wallet(**columns), version


async def find_page(
    session: AsyncSession, *, realm: Realm, enabled: bool | None, q: str | None, after: UUID | None, limit: int
) -> Sequence[Wallet]:
    """Return up to ``limit`` external wallets of the realm, newest first; not the home wallet."""
    statement = text(
        f"""
        SELECT {_COLUMNS} FROM external_wallets
        WHERE tenant_id = :tenant_id AND environment = :environment AND deleted_at IS NULL AND NOT is_home
          AND (CAST(:after AS uuid) IS NULL OR id < :after)
          AND (CAST(:enabled AS boolean) IS NULL OR enabled = :enabled)
          AND (CAST(:q AS text) IS NULL OR strpos(lower(name || ' ' || base_url), lower(:q)) > 0)
        ORDER BY id DESC LIMIT :limit
        """  # noqa: S608 - names are ours
    )
    values = {**_realm(realm), "after": after, "enabled": enabled, "q": q, "limit": limit}
    return [Wallet(**row._mapping) for row in await session.execute(statement, values)]


async def load_many(
    session: AsyncSession | AsyncConnection, *, realm: Realm, home: bool, external: bool
) -> Sequence[StoredWallet]:
    """Return every wallet of the realm that is not deleted with its keys: home first, then oldest first."""
    statement = text(
        f"{_WITH_KEYS} WHERE tenant_id = :tenant_id AND environment = :environment AND deleted_at IS NULL"
        " AND ((is_home AND :home) OR (NOT is_home AND :external))"
        " ORDER BY is_home DESC, external_wallets.id, keys.id DESC"
    )
    values = {**_realm(realm), "home": home, "external": external}
    return _stored((await session.execute(statement, values)).mappings())


async def insert(session: AsyncSession, values: Mapping[str, Any]) -> Wallet | None:
    """Insert a wallet; None where the realm has a home wallet and this is another one."""
    statement = text(
        f"INSERT INTO external_wallets ({', '.join(values)}) VALUES ({', '.join(':' + name for name in values)})"  # noqa: S608 - names are ours
        " ON CONFLICT (tenant_id, environment) WHERE is_home AND deleted_at IS NULL DO NOTHING"
        f" RETURNING {_COLUMNS}"
    ).bindparams(*_typed(values))
    row = (await session.execute(statement, dict(values))).one_or_none()
    return None if row is None else Wallet(**row._mapping)


async def update(session: AsyncSession, wallet: Wallet, changes: Mapping[str, Any]) -> Wallet:
    """Change columns of a wallet that the caller holds ``NO KEY UPDATE`` or ``UPDATE``."""
    assert changes.keys() <= _CHANGEABLE
    assignments = "".join(f"{name} = :{name}, " for name in changes)
    statement = text(
        f"UPDATE external_wallets SET {assignments}updated_at = now()"  # noqa: S608 - names are ours
        f" WHERE id = :id AND tenant_id = :tenant_id AND environment = :environment RETURNING {_COLUMNS}"
    ).bindparams(*_typed(changes))
    row = (await session.execute(statement, {**changes, "id": wallet.id, **_realm(wallet.realm)})).one()
    return Wallet(**row._mapping)


async def mark_deleted(session: AsyncSession, wallet: Wallet) -> None:
    """Delete a wallet: its row stays for history, its keys go."""
    await session.execute(
        text(
            "UPDATE external_wallets SET deleted_at = now(), updated_at = now()"
            " WHERE id = :id AND tenant_id = :tenant_id AND environment = :environment"
        ),
        {"id": wallet.id, **_realm(wallet.realm)},
    )
    await session.execute(text("DELETE FROM wallet_keys WHERE wallet_id = :id"), {"id": wallet.id})


async def count_locked(session: AsyncSession, *, realm: Realm) -> int:
    """Return how many external wallets the realm has; whoever else counts waits until this transaction has ended."""
    name = f"external_wallets:{realm.tenant_id}:{realm.environment}"
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})
    statement = text(
        "SELECT count(*) FROM external_wallets"
        " WHERE tenant_id = :tenant_id AND environment = :environment AND deleted_at IS NULL AND NOT is_home"
    )
    count: int = (await session.execute(statement, _realm(realm))).scalar_one()
    return count


def _stored(rows: Iterable[Mapping[str, Any] | RowMapping]) -> list[StoredWallet]:
    """Gather the rows of ``_WITH_KEYS``: one for each key, or one where a wallet has none."""
    stored: dict[UUID, StoredWallet] = {}
    for row in rows:
        values = dict(row)
        key = {name: values.pop(f"key_{name}") for name in _KEY_NAMES}
        if row["id"] not in stored:
            stored[row["id"]] = StoredWallet(wallet=Wallet(**values, key_id=key["id"]), keys=[])
        if key["id"] is not None:
            stored[row["id"]].keys.append(SealedKey(**key, wallet_id=row["id"]))
    return list(stored.values())


def _found(stored: Sequence[StoredWallet]) -> StoredWallet:
    if not stored:
        raise NotFound
    return stored[0]


def _realm(realm: Realm) -> dict[str, Any]:
    return {"tenant_id": realm.tenant_id, "environment": realm.environment}


def _typed(values: Mapping[str, Any]) -> list[Any]:
    return [bindparam(name, type_=JSONB(none_as_null=True)) for name in values if name in _JSON]
