"""SQL of beginning many transfers in one statement, each on condition that its wallets still are as they were looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import typeids
from shared.access import Caller, Realm
from wallet_gateway.external_wallets import repository as wallets
from wallet_gateway.external_wallets.repository import Wallet, WalletRef
from wallet_gateway.transfers.repository import NewTransfer


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenWallet:
    """A wallet as it was looked at. ``row_version`` is another after each change of it, whoever made it."""

    wallet: Wallet
    row_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A transfer that is to begin if both wallets are still as they were seen, with its audit entry's ``changes``."""

    new: NewTransfer
    caller: Caller
    source: SeenWallet
    target: SeenWallet
    changes: Mapping[str, str]


# The wallets are locked as ``repository.find`` locks them: they are not deleted before the commit. A breaker that another process
# has opened is no part of a wallet's row; whoever meets one goes the longer way, and is told.
_BEGIN = text(
    """
    WITH wanted AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(CAST(:wanted AS text) AS jsonb)) AS wanted (
            id uuid, tenant_id uuid, environment text, idempotency_key text, fingerprint text, owner_ref text,
            source_wallet_id uuid, source_is_home boolean, source_account text, source_version text,
            target_wallet_id uuid, target_is_home boolean, target_account text, target_version text,
            amount numeric, currency text, reference text, metadata jsonb, shape text, created_by text,
            audit_id uuid, audit_target text, request_id text, ip inet, changes jsonb)
    ), held AS MATERIALIZED (
        SELECT id, CAST(xmin AS text) AS row_version FROM external_wallets
        WHERE id = ANY(CAST(:wallet_ids AS uuid[])) AND deleted_at IS NULL
        ORDER BY id FOR KEY SHARE
    ), usable AS MATERIALIZED (
        SELECT id, row_version FROM held
        WHERE NOT EXISTS (SELECT FROM wallet_breakers b WHERE b.wallet_id = held.id AND b.open_until > now())
    ), begun AS (
        INSERT INTO transfers (id, tenant_id, environment, idempotency_key, fingerprint, owner_ref, source_wallet_id,
            source_is_home, source_account, target_wallet_id, target_is_home, target_account, amount, currency, reference,
            metadata, shape, created_by)
        SELECT w.id, tenant_id, environment, idempotency_key, decode(fingerprint, 'hex'), owner_ref, source_wallet_id,
            source_is_home, source_account, target_wallet_id, target_is_home, target_account, amount, currency, reference,
            metadata, shape, created_by
        FROM wanted w
        JOIN usable s ON s.id = w.source_wallet_id AND s.row_version = w.source_version
        JOIN usable t ON t.id = w.target_wallet_id AND t.row_version = w.target_version
        ORDER BY tenant_id, environment, idempotency_key
        ON CONFLICT (tenant_id, environment, idempotency_key) DO NOTHING
        RETURNING id, created_at
    ), audited AS (
        INSERT INTO audit_entries (id, tenant_id, environment, action, actor, target, request_id, ip, changes)
        SELECT audit_id, tenant_id, environment, 'transfer.created', created_by, audit_target, request_id, ip, changes
        FROM wanted JOIN begun USING (id)
    )
    SELECT id, created_at FROM begun
    """
)


async def look_at(connection: AsyncConnection, *, realm: Realm, wallet: WalletRef) -> SeenWallet | None:
    """Return a wallet of the realm that is not deleted."""
    found = await wallets.find_versioned(connection, realm=realm, wallet=wallet)
    return None if found is None else SeenWallet(wallet=found[0], row_version=found[1])


async def begin_many(connection: AsyncConnection, beginnings: Sequence[Beginning]) -> dict[UUID, datetime]:
    """Begin transfers with their audit entries, in one statement; returns when each began that did.

    Not begun are those whose key has begun one before, and those of whose wallets something has changed.
    """
    wallet_ids = {seen.wallet.id for item in beginnings for seen in (item.source, item.target)}
    values = {
        "wanted": orjson.dumps([_row(item) for item in beginnings], default=str).decode(),
        "wallet_ids": list(wallet_ids),
    }
    return {row.id: row.created_at for row in await connection.execute(_BEGIN, values)}


def _row(beginning: Beginning) -> dict[str, Any]:
    new, caller = beginning.new, beginning.caller
    same = ("id", "idempotency_key", "owner_ref", "amount", "currency", "reference", "metadata", "shape", "created_by")
    return {
        **{name: getattr(new, name) for name in same},
        "tenant_id": new.realm.tenant_id,
        "environment": new.realm.environment,
        "fingerprint": new.fingerprint.hex(),
        "source_wallet_id": new.source.wallet_id,
        "source_is_home": new.source.is_home,
        "source_account": new.source.account,
        "source_version": beginning.source.row_version,
        "target_wallet_id": new.target.wallet_id,
        "target_is_home": new.target.is_home,
        "target_account": new.target.account,
        "target_version": beginning.target.row_version,
        "audit_id": typeids.new_id(),
        "audit_target": typeids.encode("tr", new.id),
        "request_id": caller.request_id,
        "ip": str(caller.ip) if caller.ip else None,
        "changes": beginning.changes,
    }
