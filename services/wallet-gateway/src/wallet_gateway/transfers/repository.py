"""SQL of transfers as callers make and see them. Every query carries the realm."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm
from wallet_gateway.transfers.plan import Shape
from wallet_gateway.transfers.transfer import Account, Status

_COLUMNS = """id, owner_ref, source_wallet_id, source_is_home, source_account, target_wallet_id, target_is_home,
    target_account, amount, currency, reference, metadata, status, outcome_unknown, failure_code, failure_detail,
    created_at, updated_at, ended_at"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTransfer:
    """A transfer that is to begin."""

    id: UUID
    realm: Realm
    idempotency_key: str
    fingerprint: bytes
    owner_ref: str
    source: Account
    target: Account
    amount: Decimal
    currency: str
    reference: str | None
    metadata: dict[str, str]
    shape: Shape | None
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTransfer:
    """A transfer as it is shown."""

    id: UUID
    owner_ref: str
    source: Account
    target: Account
    amount: Decimal
    currency: str
    reference: str | None
    metadata: dict[str, str]
    status: Status
    outcome_unknown: bool
    failure_code: str | None
    failure_detail: str | None
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFilter:
    """What a list is narrowed to; None does not narrow it. ``wallet`` may be on either side."""

    status: Status | None = None
    wallet: UUID | Literal["home"] | None = None
    owner_ref: str | None = None
    reference: str | None = None
    begun_from: datetime | None = None
    begun_to: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRequest:
    """What is remembered of the request that began a transfer. ``first_answer`` None: the transfer as it began."""

    fingerprint: bytes
    created_by: str
    first_answer: bytes | None
    transfer: ShownTransfer


_INSERT = text(
    f"""
    INSERT INTO transfers (id, tenant_id, environment, idempotency_key, fingerprint, owner_ref, source_wallet_id,
        source_is_home, source_account, target_wallet_id, target_is_home, target_account, amount, currency, reference,
        metadata, shape, created_by)
    VALUES (:id, :tenant_id, :environment, :idempotency_key, :fingerprint, :owner_ref, :source_wallet_id, :source_is_home,
        :source_account, :target_wallet_id, :target_is_home, :target_account, :amount, :currency, :reference, :metadata,
        :shape, :created_by)
    ON CONFLICT (tenant_id, environment, idempotency_key) DO NOTHING
    RETURNING {_COLUMNS}
    """  # noqa: S608 - names are ours
).bindparams(bindparam("metadata", type_=JSONB))


async def insert(session: AsyncSession, new: NewTransfer) -> ShownTransfer | None:
    """Begin a transfer; None where its key has begun one before."""
    values = {
        **_realm(new.realm),
        **{name: getattr(new, name) for name in ("id", "idempotency_key", "fingerprint", "owner_ref", "amount")},
        **{name: getattr(new, name) for name in ("currency", "reference", "metadata", "shape", "created_by")},
        **_side("source", new.source),
        **_side("target", new.target),
    }
    row = (await session.execute(_INSERT, values)).one_or_none()
    return None if row is None else _shown(row)


def as_inserted(new: NewTransfer, *, at: datetime) -> ShownTransfer:
    """Return a transfer as it was inserted at this time."""
    same = ("id", "owner_ref", "source", "target", "amount", "currency", "reference", "metadata")
    nothing = ("failure_code", "failure_detail", "ended_at")
    fields: dict[str, Any] = {**{name: getattr(new, name) for name in same}, **dict.fromkeys(nothing)}
    return ShownTransfer(**fields, status="pending", outcome_unknown=False, created_at=at, updated_at=at)


async def find_request(session: AsyncSession, *, realm: Realm, key: str) -> KeptRequest | None:
    """Return what began under an Idempotency-Key, however long ago."""
    statement = text(
        f"SELECT fingerprint, created_by, first_answer, {_COLUMNS} FROM transfers"  # noqa: S608 - names are ours
        " WHERE tenant_id = :tenant_id AND environment = :environment AND idempotency_key = :key"
    )
    row = (await session.execute(statement, {**_realm(realm), "key": key})).one_or_none()
    if row is None:
        return None
    return KeptRequest(
        fingerprint=row.fingerprint,
        created_by=row.created_by,
        first_answer=row.first_answer,
        transfer=_shown(row),
    )


async def keep_answer(session: AsyncSession, *, realm: Realm, transfer_id: UUID, answer: bytes) -> None:
    """Remember what the first request was told, where that is more than how the transfer began."""
    await session.execute(
        text(
            "UPDATE transfers SET first_answer = :answer"
            " WHERE id = :id AND tenant_id = :tenant_id AND environment = :environment AND first_answer IS NULL"
        ),
        {**_realm(realm), "id": transfer_id, "answer": answer},
    )


async def find(session: AsyncSession, *, realm: Realm, transfer_id: UUID) -> ShownTransfer | None:
    """Return a transfer of the realm."""
    statement = text(
        f"SELECT {_COLUMNS} FROM transfers"  # noqa: S608 - names are ours
        " WHERE id = :id AND tenant_id = :tenant_id AND environment = :environment"
    )
    row = (await session.execute(statement, {**_realm(realm), "id": transfer_id})).one_or_none()
    return None if row is None else _shown(row)


async def find_page(
    session: AsyncSession,
    *,
    realm: Realm,
    wanted: TransferFilter,
    after: UUID | None,
    limit: int,
) -> Sequence[ShownTransfer]:
    """Return up to ``limit`` transfers of the realm, newest first."""
    statement = text(
        f"""
        SELECT {_COLUMNS} FROM transfers
        WHERE tenant_id = :tenant_id AND environment = :environment
          AND (CAST(:after AS uuid) IS NULL OR id < :after)
          AND (CAST(:id_from AS uuid) IS NULL OR id >= :id_from)
          AND (CAST(:id_to AS uuid) IS NULL OR id < :id_to)
          AND (CAST(:status AS text) IS NULL OR status = :status)
          AND (NOT :of_home OR source_is_home OR target_is_home)
          AND (CAST(:wallet AS uuid) IS NULL OR source_wallet_id = :wallet OR target_wallet_id = :wallet)
          AND (CAST(:owner_ref AS text) IS NULL OR owner_ref = :owner_ref)
          AND (CAST(:reference AS text) IS NULL OR reference = :reference)
        ORDER BY id DESC LIMIT :limit
        """  # noqa: S608 - names are ours
    )
    values = {
        **_realm(realm),
        "status": wanted.status,
        "of_home": wanted.wallet == "home",
        "wallet": None if wanted.wallet == "home" else wanted.wallet,
        "owner_ref": wanted.owner_ref,
        "reference": wanted.reference,
        "id_from": typeids.lower_bound(wanted.begun_from) if wanted.begun_from else None,
        "id_to": typeids.lower_bound(wanted.begun_to) if wanted.begun_to else None,
        "after": after,
        "limit": limit,
    }
    return [_shown(row) for row in await session.execute(statement, values)]


async def ended_of(session: AsyncSession, ids: Sequence[UUID]) -> Sequence[UUID]:
    """Return which of these transfers are no longer pending; for those who wait, whatever their realm."""
    statement = text("SELECT id FROM transfers WHERE id = ANY(:ids) AND status <> 'pending'")
    return list((await session.execute(statement, {"ids": list(ids)})).scalars())


def _realm(realm: Realm) -> dict[str, Any]:
    return {"tenant_id": realm.tenant_id, "environment": realm.environment}


def _side(name: str, account: Account) -> dict[str, Any]:
    return {
        f"{name}_wallet_id": account.wallet_id,
        f"{name}_is_home": account.is_home,
        f"{name}_account": account.account,
    }


def _shown(row: Any) -> ShownTransfer:
    fields = {name: value for name, value in row._mapping.items() if name in ShownTransfer.__dataclass_fields__}
    return ShownTransfer(
        **fields,
        source=Account(wallet_id=row.source_wallet_id, is_home=row.source_is_home, account=row.source_account),
        target=Account(wallet_id=row.target_wallet_id, is_home=row.target_is_home, account=row.target_account),
    )
