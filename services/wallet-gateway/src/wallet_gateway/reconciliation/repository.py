"""SQL of reconciliations and breaks, for callers. Every query carries the realm."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import Realm
from wallet_gateway.reconciliation.models import KnownBreak, Run

RUN_COLUMNS = """id, tenant_id, environment, wallet_id, is_scheduled, from_at, to_at, status, steps_compared, waits_for,
     created_at, created_by, finished_at, attempts, entries_read"""
_BREAK_COLUMNS = "id, kind, step_id, wallet_txn_id, ours, theirs, created_at, resolved_at, resolved_by, evidence"


async def insert(
    session: AsyncSession,
    *,
    realm: Realm,
    run_id: UUID,
    wallet_id: UUID,
    from_at: datetime,
    to_at: datetime,
    created_by: str,
) -> Run:
    """Begin a run on demand; a worker finds it."""
    statement = text(
        f"""
        INSERT INTO reconciliations (id, tenant_id, environment, wallet_id, is_scheduled, from_at, to_at, created_by)
        VALUES (:id, :tenant_id, :environment, :wallet_id, false, :from_at, :to_at, :created_by) RETURNING {RUN_COLUMNS}
        """  # noqa: S608 - names are ours
    )
    values = {"id": run_id, "wallet_id": wallet_id, "from_at": from_at, "to_at": to_at, "created_by": created_by}
    return Run(**(await session.execute(statement, {**_realm(realm), **values})).one()._mapping)


async def count_running(session: AsyncSession, *, wallet_id: UUID) -> int:
    """Return how many runs of a wallet, which the caller holds, have not finished."""
    statement = text("SELECT count(*) FROM reconciliations WHERE wallet_id = :wallet_id AND status = 'running'")
    return int(await session.scalar(statement, {"wallet_id": wallet_id}))


async def find(session: AsyncSession, *, realm: Realm, run_id: UUID) -> Run | None:
    """Return a run of the realm."""
    statement = text(
        f"SELECT {RUN_COLUMNS} FROM reconciliations"  # noqa: S608 - names are ours
        " WHERE id = :id AND tenant_id = :tenant_id AND environment = :environment"
    )
    row = (await session.execute(statement, {**_realm(realm), "id": run_id})).one_or_none()
    return None if row is None else Run(**row._mapping)


async def find_page(
    session: AsyncSession, *, realm: Realm, wallet_id: UUID | None, status: str | None, after: UUID | None, limit: int
) -> Sequence[Run]:
    """Return up to ``limit`` runs of the realm, newest first."""
    statement = text(
        f"""
        SELECT {RUN_COLUMNS} FROM reconciliations
        WHERE tenant_id = :tenant_id AND environment = :environment
          AND (CAST(:after AS uuid) IS NULL OR id < :after)
          AND (CAST(:wallet_id AS uuid) IS NULL OR wallet_id = :wallet_id)
          AND (CAST(:status AS text) IS NULL OR status = :status)
        ORDER BY id DESC LIMIT :limit
        """  # noqa: S608 - names are ours
    )
    values = {**_realm(realm), "after": after, "wallet_id": wallet_id, "status": status, "limit": limit}
    return [Run(**row._mapping) for row in await session.execute(statement, values)]


async def find_breaks(session: AsyncSession, *, realm: Realm, run_id: UUID, limit: int) -> Sequence[KnownBreak]:
    """Return what a run of the realm found, oldest first."""
    statement = text(
        f"SELECT {_BREAK_COLUMNS} FROM reconciliation_breaks"  # noqa: S608 - names are ours
        " JOIN reconciliation_findings ON break_id = id"
        " WHERE reconciliation_id = :run_id AND tenant_id = :tenant_id AND environment = :environment"
        " ORDER BY id LIMIT :limit"
    )
    values = {**_realm(realm), "run_id": run_id, "limit": limit}
    return [KnownBreak(**row._mapping) for row in await session.execute(statement, values)]


async def find_break(session: AsyncSession, *, realm: Realm, run_id: UUID, break_id: UUID) -> KnownBreak | None:
    """Return a break that a run of the realm found; nobody else resolves it until the transaction ends."""
    statement = text(
        f"SELECT {_BREAK_COLUMNS} FROM reconciliation_breaks"  # noqa: S608 - names are ours
        " JOIN reconciliation_findings ON break_id = id"
        " WHERE reconciliation_id = :run_id AND id = :id AND tenant_id = :tenant_id AND environment = :environment"
        " FOR UPDATE OF reconciliation_breaks"
    )
    row = (await session.execute(statement, {**_realm(realm), "run_id": run_id, "id": break_id})).one_or_none()
    return None if row is None else KnownBreak(**row._mapping)


async def resolve(
    session: AsyncSession, *, realm: Realm, break_id: UUID, resolved_by: str, evidence: str
) -> KnownBreak:
    """Resolve a break that the caller holds."""
    statement = text(
        f"""
        UPDATE reconciliation_breaks SET resolved_at = now(), resolved_by = :resolved_by, evidence = :evidence
        WHERE id = :id AND tenant_id = :tenant_id AND environment = :environment RETURNING {_BREAK_COLUMNS}
        """  # noqa: S608 - names are ours
    )
    values = {**_realm(realm), "id": break_id, "resolved_by": resolved_by, "evidence": evidence}
    return KnownBreak(**(await session.execute(statement, values)).one()._mapping)


async def forget_feed(session: AsyncSession, *, wallet_id: UUID) -> None:
    """Forget what a wallet's feed said: after an unfreeze it is read from the beginning, and all is compared anew.

    No baseline afterwards: its past was rewritten, and nothing in it is let pass unseen because it is old.
    """
    statement = text(
        "INSERT INTO feed_positions (wallet_id, seq, baseline_seq) VALUES (:wallet_id, 0, 0)"
        " ON CONFLICT (wallet_id) DO UPDATE SET seq = 0, step_id = NULL, state = NULL, baseline_seq = 0,"
        " strangers = 0, checked_to = 'epoch', next_run_at = now()"
    )
    await session.execute(statement, {"wallet_id": wallet_id})
    await _forget_states(session, wallet_id=wallet_id)


async def begin_other_feed(session: AsyncSession, *, wallet_id: UUID) -> None:
    """Read a wallet that has moved to another server as one that is new: its feed has other places, and a past of its own."""
    statement = text(
        "UPDATE feed_positions SET seq = 0, step_id = NULL, state = NULL, baseline_seq = NULL, strangers = 0,"
        " next_run_at = now()"
        " WHERE wallet_id = :wallet_id"
    )
    await session.execute(statement, {"wallet_id": wallet_id})
    await _forget_states(session, wallet_id=wallet_id)


async def _forget_states(session: AsyncSession, *, wallet_id: UUID) -> None:
    await session.execute(text("DELETE FROM feed_states WHERE wallet_id = :wallet_id"), {"wallet_id": wallet_id})


def _realm(realm: Realm) -> dict[str, Any]:
    return {"tenant_id": realm.tenant_id, "environment": realm.environment}
