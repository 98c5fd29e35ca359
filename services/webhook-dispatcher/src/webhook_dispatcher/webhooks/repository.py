"""All SQL of webhooks and their secrets. Every query carries the realm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import BigInteger, Integer, Text

from shared.access import Realm

_COLUMNS = """id, tenant_id, environment, lane, revision, name, url, events, trigger, format, crm_signature,
    signature_header, sealed_headers, retry_delays_seconds, timeout_seconds, max_in_flight, rate_per_second, ordered, description,
    metadata, status, disabled_reason, disabled_at, created_at, created_by, updated_at,
    (SELECT json_agg(json_build_object('public_key', s.public_key, 'expires_at', s.expires_at) ORDER BY s.id DESC)
     FROM webhook_secrets s WHERE s.webhook_id = webhooks.id AND s.kind = 'ed25519'
       AND (s.expires_at IS NULL OR s.expires_at > now())) AS public_keys"""
_TYPES: Mapping[str, Any] = {
    "events": ARRAY(Text),
    "retry_delays_seconds": ARRAY(Integer),
    "metadata": JSONB,
    "rate_per_second": BigInteger,
}
_CHANGEABLE = frozenset(
    {"name", "url", "events", "trigger", "crm_signature", "signature_header", "sealed_headers", "retry_delays_seconds"}
    | {"timeout_seconds", "max_in_flight", "rate_per_second", "ordered", "description", "metadata"}
    | {"status", "disabled_reason", "disabled_at", "enabled_at"}
    | {"failing_since", "failures_in_a_row", "breaker_opened_at", "probe_at", "probe_delay_seconds", "recovered_at"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """The public half of an ed25519 key that signs now, and when it ends."""

    public_key: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One row of ``webhooks``."""

    id: UUID
    tenant_id: UUID
    environment: Literal["live", "test"]
    lane: int
    revision: int
    name: str
    url: str
    events: list[str]
    trigger: Literal["first", "every"]
    format: Literal["standard", "crm", "timestamped"]
    crm_signature: Literal["hex", "prefixed"]
    signature_header: str | None
    sealed_headers: bytes | None
    retry_delays_seconds: list[int]
    timeout_seconds: int
    max_in_flight: int
    rate_per_second: int | None
    ordered: bool
    description: str | None
    metadata: dict[str, Any]
    status: Literal["enabled", "disabled"]
    disabled_reason: str | None
    disabled_at: datetime | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    public_keys: Sequence[PublicKey]
    """Newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """One row of ``webhook_secrets``."""

    id: UUID
    webhook_id: UUID
    sealed_secret: bytes
    created_at: datetime
    expires_at: datetime | None


async def count_locked(session: AsyncSession, *, realm: Realm) -> int:
    """Return how many webhooks the realm has; whoever else counts waits until this transaction has ended."""
    await bump_realm(session, tenant_id=realm.tenant_id, environment=realm.environment)
    statement = text(
        "SELECT count(*) FROM webhooks"
        " WHERE tenant_id = :tenant_id AND environment = :environment AND deleted_at IS NULL"
    )
    values = {"tenant_id": realm.tenant_id, "environment": realm.environment}
    count: int = (await session.execute(statement, values)).scalar_one()
    return count


async def insert(session: AsyncSession, values: Mapping[str, Any]) -> Webhook:
    """Insert a webhook and bump its realm's revision."""
    names = ", ".join(values)
    statement = text(
        f"INSERT INTO webhooks ({names}) VALUES ({', '.join(':' + name for name in values)}) RETURNING {_COLUMNS}"  # noqa: S608 - names are ours
    ).bindparams(*_typed(values))
    row = (await session.execute(statement, dict(values))).one()
    await bump_realm(session, tenant_id=row.tenant_id, environment=row.environment)
    return _webhook(row)


async def find(session: AsyncSession, *, realm: Realm, webhook_id: UUID, for_update: bool = False) -> Webhook | None:
    """Return a webhook of the realm that is not deleted."""
    statement = text(
        f"SELECT {_COLUMNS} FROM webhooks WHERE id = :id AND tenant_id = :tenant_id AND environment = :environment"  # noqa: S608 - names are ours
        f" AND deleted_at IS NULL{' FOR UPDATE' if for_update else ''}"
    )
    values = {"id": webhook_id, "tenant_id": realm.tenant_id, "environment": realm.environment}
    row = (await session.execute(statement, values)).one_or_none()
    return None if row is None else _webhook(row)


async def find_page(
    session: AsyncSession, *, realm: Realm, enabled: bool | None, q: str | None, after: UUID | None, limit: int
) -> Sequence[Webhook]:
    """Return up to ``limit`` webhooks of the realm, newest first."""
    statement = text(
        f"""
        SELECT {_COLUMNS} FROM webhooks
        WHERE tenant_id = :tenant_id AND environment = :environment AND deleted_at IS NULL
          AND (CAST(:after AS uuid) IS NULL OR id < :after)
          AND (CAST(:status AS text) IS NULL OR status = :status)
          AND (CAST(:q AS text) IS NULL OR strpos(lower(name || ' ' || url), lower(:q)) > 0)
        ORDER BY id DESC LIMIT :limit
        """  # noqa: S608 - names are ours
    )
    values = {
        "tenant_id": realm.tenant_id,
        "environment": realm.environment,
        "after": after,
        "status": None if enabled is None else ("enabled" if enabled else "disabled"),
        "q": q,
        "limit": limit,
    }
    return [_webhook(row) for row in await session.execute(statement, values)]


async def update(session: AsyncSession, webhook: Webhook, changes: Mapping[str, Any]) -> Webhook:
    """Change columns of a webhook that the caller holds ``FOR UPDATE``."""
    assert changes.keys() <= _CHANGEABLE
    assignments = ", ".join(f"{name} = :{name}" for name in changes)
    statement = text(
        f"UPDATE webhooks SET {assignments}{', ' if changes else ''}revision = revision + 1, updated_at = now()"  # noqa: S608 - names are ours
        f" WHERE id = :id RETURNING {_COLUMNS}"
    ).bindparams(*_typed(changes))
    row = (await session.execute(statement, {**changes, "id": webhook.id})).one()
    await bump_realm(session, tenant_id=row.tenant_id, environment=row.environment)
    return _webhook(row)


async def hasten_probe(session: AsyncSession, *, webhook_id: UUID) -> None:
    """Let the next probe of an open breaker be due now: somebody has acted, and wants to see whether it helped."""
    await session.execute(
        text("UPDATE webhooks SET probe_at = now() WHERE id = :id AND probe_at > now()"), {"id": webhook_id}
    )


async def mark_deleted(session: AsyncSession, webhook: Webhook) -> None:
    """Delete a webhook; its history stays."""
    await session.execute(
        text("UPDATE webhooks SET deleted_at = now(), revision = revision + 1, updated_at = now() WHERE id = :id"),
        {"id": webhook.id},
    )
    await session.execute(text("DELETE FROM webhook_secrets WHERE webhook_id = :id"), {"id": webhook.id})
    await bump_realm(session, tenant_id=webhook.tenant_id, environment=webhook.environment)


async def insert_secret(
    session: AsyncSession, *, secret_id: UUID, webhook_id: UUID, sealed_secret: bytes, public_key: str | None
) -> datetime:
    """Add a secret that does not expire, or with a public half an ed25519 key; returns when it was made."""
    statement = text(
        "INSERT INTO webhook_secrets (id, webhook_id, sealed_secret, kind, public_key)"
        " VALUES (:id, :webhook_id, :sealed_secret, :kind, :public_key) RETURNING created_at"
    )
    kind = "hmac" if public_key is None else "ed25519"
    values = {
        "id": secret_id,
        "webhook_id": webhook_id,
        "sealed_secret": sealed_secret,
        "kind": kind,
        "public_key": public_key,
    }
    created_at: datetime = (await session.execute(statement, values)).scalar_one()
    return created_at


async def active_secrets(session: AsyncSession, *, webhook_id: UUID) -> Sequence[SealedSecret]:
    """Return the secrets that sign now, newest first; ed25519 keys are not among them."""
    statement = text(
        "SELECT id, webhook_id, sealed_secret, created_at, expires_at FROM webhook_secrets"
        " WHERE webhook_id = :webhook_id AND kind = 'hmac' AND (expires_at IS NULL OR expires_at > now()) ORDER BY id DESC"
    )
    return [SealedSecret(**row._mapping) for row in await session.execute(statement, {"webhook_id": webhook_id})]


async def expire_secrets(session: AsyncSession, *, webhook_id: UUID, overlap_seconds: int) -> datetime:
    """Let the secrets and keys that sign now end after the overlap, never later than they would have; drop ended ones."""
    await session.execute(
        text("DELETE FROM webhook_secrets WHERE webhook_id = :webhook_id AND expires_at <= now()"),
        {"webhook_id": webhook_id},
    )
    statement = text(
        "UPDATE webhook_secrets SET expires_at = LEAST(expires_at, now() + make_interval(secs => :overlap_seconds))"
        " WHERE webhook_id = :webhook_id RETURNING expires_at"
    )
    values = {"webhook_id": webhook_id, "overlap_seconds": overlap_seconds}
    ends: list[datetime] = list((await session.execute(statement, values)).scalars())
    return max(ends)


async def delete_keys(session: AsyncSession, *, webhook_id: UUID) -> None:
    """End all ed25519 keys of a webhook at once."""
    await session.execute(
        text("DELETE FROM webhook_secrets WHERE webhook_id = :webhook_id AND kind = 'ed25519'"),
        {"webhook_id": webhook_id},
    )


def _webhook(row: Row[Any]) -> Webhook:
    keys = [
        PublicKey(
            public_key=key["public_key"],
            expires_at=datetime.fromisoformat(key["expires_at"]) if key["expires_at"] else None,
        )
        for key in row.public_keys or ()
    ]
    return Webhook(**{**row._mapping, "public_keys": keys})


async def bump_realm(session: AsyncSession, *, tenant_id: UUID, environment: str) -> None:
    """Make everybody who plans events of the realm look afresh; the realm's other changes wait until this one is committed."""
    await session.execute(
        text(
            "INSERT INTO realm_revisions (tenant_id, environment, revision) VALUES (:tenant_id, :environment, 1)"
            " ON CONFLICT (tenant_id, environment) DO UPDATE SET revision = realm_revisions.revision + 1"
        ),
        {"tenant_id": tenant_id, "environment": environment},
    )


def _typed(values: Mapping[str, Any]) -> list[Any]:
    return [bindparam(name, type_=_TYPES[name]) for name in values if name in _TYPES]
