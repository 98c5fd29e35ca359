"""SQL of running reconciliations: which are due, what they found, and when they finish. For workers."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shared import typeids
from wallet_gateway.reconciliation.comparison import Break
from wallet_gateway.reconciliation.events import outbox_row_of
from wallet_gateway.reconciliation.models import Run
from wallet_gateway.reconciliation.repository import RUN_COLUMNS

_SCHEDULE = text(
    """
    INSERT INTO reconciliations (id, tenant_id, environment, wallet_id, is_scheduled, from_at, to_at, created_by)
    SELECT uuidv7(), w.tenant_id, w.environment, w.id, true, coalesce(p.checked_to, 'epoch'), now(), 'wallet-gateway'
    FROM external_wallets w LEFT JOIN feed_positions p ON p.wallet_id = w.id
    WHERE w.deleted_at IS NULL AND w.enabled AND NOT w.frozen AND w.protocol = 'ewp/1'
      AND (w.capabilities -> 'feed' = 'true' OR p.seq > 0
        OR (w.capabilities IS NULL AND EXISTS (SELECT FROM transfer_steps s WHERE s.wallet_id = w.id)))
      AND coalesce(p.next_run_at, '-infinity') <= now()
      AND NOT EXISTS (SELECT FROM reconciliations r WHERE r.wallet_id = w.id AND r.status = 'running' AND r.is_scheduled)
    ORDER BY coalesce(p.next_run_at, '-infinity') LIMIT :limit
    """
)
# Tenants take turns; of one tenant's runs, the one that has waited longest.
_TAKE = text(
    f"""
    UPDATE reconciliations SET due_at = now() + make_interval(secs => :lease_seconds), attempts = attempts + 1
    WHERE id = (
        SELECT r.id FROM reconciliations r
        LEFT JOIN unnest(CAST(:served AS uuid[])) WITH ORDINALITY AS served (tenant_id, place) USING (tenant_id)
        WHERE r.status = 'running' AND r.due_at <= now() AND tenant_id <> ALL(CAST(:busy AS uuid[]))
        ORDER BY served.place NULLS FIRST, r.due_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED
    )
    RETURNING {RUN_COLUMNS}
    """  # noqa: S608 - names are ours
)
_INSERT_BREAK = text(
    """
    INSERT INTO reconciliation_breaks
        (id, tenant_id, environment, wallet_id, kind, step_id, wallet_txn_id, ours, theirs, fingerprint)
    VALUES (:id, :tenant_id, :environment, :wallet_id, :kind, :step_id, :wallet_txn_id, :ours, :theirs, :fingerprint)
    ON CONFLICT (wallet_id, fingerprint) DO NOTHING
    """
).bindparams(bindparam("ours", type_=JSONB(none_as_null=True)), bindparam("theirs", type_=JSONB(none_as_null=True)))
_KNOWN_BREAK = text(
    "SELECT id, resolved_at FROM reconciliation_breaks WHERE wallet_id = :wallet_id AND fingerprint = :fingerprint"
)
_INSERT_FINDING = text(
    "INSERT INTO reconciliation_findings (reconciliation_id, break_id) VALUES (:run_id, :break_id) ON CONFLICT DO NOTHING"
)
_INSERT_EVENT = text(
    "INSERT INTO outbox (id, tenant_id, environment, event_id, ordering_key, body)"
    " VALUES (:id, :tenant_id, :environment, :event_id, :ordering_key, :body)"
)
_FINISH = text(
    """
    UPDATE reconciliations SET
        status = CASE WHEN EXISTS (SELECT FROM reconciliation_findings WHERE reconciliation_id = :id)
            THEN 'breaks' ELSE 'clean' END,
        steps_compared = :steps_compared, finished_at = now(), due_at = NULL, waits_for = NULL
    WHERE id = :id AND status = 'running' RETURNING wallet_id, is_scheduled
    """
)


async def schedule(connection: AsyncConnection, *, limit: int = 100) -> int:
    """Begin a run for each wallet whose time has come; returns how many."""
    return (await connection.execute(_SCHEDULE, {"limit": limit})).rowcount


async def take(
    connection: AsyncConnection, *, lease_seconds: float, busy: Sequence[UUID], served: Sequence[UUID]
) -> Run | None:
    """Take a run that is due; for so many seconds nobody else takes it.

    None of the ``busy`` tenants; one who is not among the ``served`` comes first, then these in their order.
    """
    values = {"lease_seconds": lease_seconds, "busy": list(busy), "served": list(served)}
    row = (await connection.execute(_TAKE, values)).one_or_none()
    return None if row is None else Run(**row._mapping)


async def renew(session: AsyncSession, run: Run, *, lease_seconds: float) -> None:
    """Let nobody else take a run that goes on, for so many seconds more."""
    statement = text(
        "UPDATE reconciliations SET due_at = now() + make_interval(secs => :lease_seconds)"
        " WHERE id = :id AND status = 'running'"
    )
    await session.execute(statement, {"id": run.id, "lease_seconds": lease_seconds})


async def put_off(connection: AsyncConnection, run: Run, *, seconds: float, waits_for: str | None) -> None:
    """Let a run go on in so many seconds."""
    statement = text(
        "UPDATE reconciliations SET due_at = now() + make_interval(secs => :seconds), waits_for = :waits_for,"
        " attempts = CASE WHEN CAST(:waits_for AS text) IS NULL THEN 0 ELSE attempts END"
        " WHERE id = :id AND status = 'running'"
    )
    await connection.execute(statement, {"id": run.id, "seconds": seconds, "waits_for": waits_for})


async def count_entries(session: AsyncSession, run: Run, entries: int) -> int:
    """Count entries that a run has read; returns how many it has by now."""
    statement = text(
        "UPDATE reconciliations SET entries_read = entries_read + :entries WHERE id = :id RETURNING entries_read"
    )
    return int((await session.execute(statement, {"id": run.id, "entries": entries})).scalar_one())


async def note_break(session: AsyncSession, run: Run, found: Break, *, now: datetime) -> None:
    """Write a break down as found by this run, and publish it if it is new.

    One that was resolved is not found again; but no run is clean while the feed is further back than it was, or not read.
    """
    fingerprint = _fingerprint(found)
    break_id = typeids.new_id()
    realm = {"tenant_id": run.tenant_id, "environment": run.environment}
    values = {
        **realm,
        "id": break_id,
        "wallet_id": run.wallet_id,
        "kind": found.kind,
        "step_id": found.step_id,
        "wallet_txn_id": found.wallet_txn_id,
        "ours": found.ours,
        "theirs": found.theirs,
        "fingerprint": fingerprint,
    }
    is_new = (await session.execute(_INSERT_BREAK, values)).rowcount == 1  # type: ignore[attr-defined]  # of a cursor result
    if is_new:
        row = outbox_row_of(found, break_id=break_id, reconciliation_id=run.id, wallet_id=run.wallet_id, now=now)
        await session.execute(_INSERT_EVENT, {**realm, **row, "id": typeids.new_id()})
    else:
        known = (await session.execute(_KNOWN_BREAK, {"wallet_id": run.wallet_id, "fingerprint": fingerprint})).one()
        if known.resolved_at is not None and found.kind not in {"feed_regressed", "feed_unreadable"}:
            return
        break_id = known.id
    await session.execute(_INSERT_FINDING, {"run_id": run.id, "break_id": break_id})


async def finish(
    session: AsyncSession,
    run: Run,
    *,
    steps_compared: int,
    checked_to: datetime,
    next_seconds: float,
    at_end: bool,
) -> None:
    """End a run: clean, or with breaks; one that was scheduled says how far the next need not look back.

    ``at_end``: the feed was read to its end, so that what it held at the first such look is its past.
    """
    row = (await session.execute(_FINISH, {"id": run.id, "steps_compared": steps_compared})).one_or_none()
    if row is None or not row.is_scheduled:
        return
    await session.execute(
        text(
            """
            UPDATE feed_positions SET
                checked_to = :checked_to, baseline_seq = CASE WHEN :at_end THEN coalesce(baseline_seq, seq) ELSE baseline_seq END,
                next_run_at = now() + make_interval(secs => :seconds)
            WHERE wallet_id = :wallet_id
            """
        ),
        {"wallet_id": row.wallet_id, "checked_to": checked_to, "seconds": next_seconds, "at_end": at_end},
    )


async def drop(session: AsyncSession, run: Run) -> None:
    """Remove a run that found nothing to look at."""
    await session.execute(text("DELETE FROM reconciliations WHERE id = :id AND status = 'running'"), {"id": run.id})


async def forget_old(session: AsyncSession, *, days: int) -> None:
    """Remove scheduled runs that found nothing and are so old."""
    await session.execute(
        text(
            "DELETE FROM reconciliations WHERE is_scheduled AND status = 'clean'"
            " AND finished_at < now() - make_interval(days => :days)"
        ),
        {"days": days},
    )


def _fingerprint(found: Break) -> bytes:
    content: list[Any] = [found.kind, found.step_id, found.wallet_txn_id, found.ours, found.theirs]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()


async def beginning(session: AsyncSession, *, wallet_id: UUID) -> tuple[datetime, datetime | None]:
    """Return the time, and when the oldest transfer with this wallet began that has not ended (None: all have)."""
    statement = text(
        "SELECT clock_timestamp(), (SELECT min(created_at) FROM transfers WHERE (source_wallet_id = :id"
        " OR target_wallet_id = :id) AND status IN ('pending', 'manual_review'))"
    )
    now, oldest = (await session.execute(statement, {"id": wallet_id})).one()
    return now, oldest
