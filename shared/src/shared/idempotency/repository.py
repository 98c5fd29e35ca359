"""SQL of kept answers: table ``idempotency_keys``, made by each service's own migration (``TABLE_DDL``)."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import Realm

TABLE_DDL = """
CREATE TABLE idempotency_keys (
    tenant_id uuid NOT NULL,
    environment text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, environment, key)
)
"""
EXPIRY_DDL = "CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at)"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """An answer as it is given again."""

    fingerprint: bytes
    status: int
    body: bytes


async def try_lock(session: AsyncSession, *, realm: Realm, key: str) -> bool:
    """Take the key for this transaction; False while another transaction has it."""
    statement = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
    name = f"idempotency:{realm.tenant_id}:{realm.environment}:{key}"
    return bool(await session.scalar(statement, {"name": name}))


async def find(session: AsyncSession, *, realm: Realm, key: str) -> KeptAnswer | None:
    """Return the kept answer of a key."""
    row = (
        await session.execute(
            text(
                "SELECT fingerprint, status, body FROM idempotency_keys"
                " WHERE tenant_id = :tenant_id AND environment = :environment AND key = :key"
            ),
            {"tenant_id": realm.tenant_id, "environment": realm.environment, "key": key},
        )
    ).one_or_none()
    return None if row is None else KeptAnswer(fingerprint=row.fingerprint, status=row.status, body=row.body)


async def keep(session: AsyncSession, *, realm: Realm, key: str, answer: KeptAnswer) -> None:
    """Remember an answer."""
    await session.execute(
        text(
            "INSERT INTO idempotency_keys (tenant_id, environment, key, fingerprint, status, body)"
            " VALUES (:tenant_id, :environment, :key, :fingerprint, :status, :body)"
        ),
        {
            "tenant_id": realm.tenant_id,
            "environment": realm.environment,
            "key": key,
            "fingerprint": answer.fingerprint,
            "status": answer.status,
            "body": answer.body,
        },
    )


async def forget_older_than(session: AsyncSession, *, hours: int) -> None:
    """Remove answers whose time is over (at least 24 h)."""
    await session.execute(
        text("DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(hours => :hours)"), {"hours": hours}
    )
