"""SQL of recoveries as callers see them: what they match, and how far they came. Their steps: ``step_repository``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Text

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.walk_repository import walk_indexes

RecoveryStatus = Literal["pending", "running", "completed", "cancelled"]
EndedStatus = Literal["failed", "cancelled", "delivered"]

COLUMNS = """id, tenant_id, environment, webhook_id, status, reason, since, until, statuses, event_types, matched,
    matched_is_minimum, resent, skipped, position, created_at, created_by, finished_at"""
ACTIVE = "status IN ('pending', 'running')"
ARRAYS = (bindparam("statuses", type_=ARRAY(Text)), bindparam("event_types", type_=ARRAY(Text)))

# What was not delivered has an index of its own, which serves only if the condition stands in the statement.
_UNDELIVERED = "h.status <> 'delivered' AND"
# A range of rows, see ``walk_repository``.
OF_WEBHOOK = """(h.webhook_id, h.id) > (:webhook_id, :{after}) AND (h.webhook_id, h.id) < (:webhook_id, :until)
    ORDER BY h.webhook_id, h.id"""
OF_TYPE = """(CAST(:event_types AS text[]) IS NULL OR EXISTS (
    SELECT 1 FROM unnest(CAST(:event_types AS text[])) AS wanted (selector)
    WHERE selector IN ('*', e.type) OR (right(selector, 2) = '.*' AND starts_with(e.type, left(selector, -1)))))"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which deliveries a recovery is about: ended ones of a webhook, by when they were made, how they ended, their type."""

    webhook_id: UUID
    since: datetime
    until: datetime
    statuses: Sequence[EndedStatus]
    event_types: Sequence[str] | None
    """Selectors as of webhooks; None for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """How many deliveries a selection has now. ``redacted`` are those whose payload is gone: they cannot be sent again."""

    sendable: int
    redacted: int
    is_minimum: bool
    """Counting ended at its limit; there may be more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """One row of ``recoveries``."""

    id: UUID
    tenant_id: UUID
    environment: Literal["live", "test"]
    webhook_id: UUID
    status: RecoveryStatus
    reason: str | None
    since: datetime
    until: datetime
    statuses: Sequence[EndedStatus]
    event_types: Sequence[str] | None
    matched: int
    matched_is_minimum: bool
    resent: int
    skipped: int
    position: UUID
    created_at: datetime
    created_by: str
    finished_at: datetime | None


async def count_matches(session: AsyncSession, *, selection: Selection, scan_max: int) -> Matches:
    """Count what a selection of a webhook of the caller's has, looking at no more than ``scan_max`` ended deliveries."""
    statement = text(
        f"""
        WITH scanned AS MATERIALIZED (
            SELECT h.event, h.status FROM delivery_history h
            WHERE {index_condition(selection.statuses)} {OF_WEBHOOK.format(after="since")} LIMIT :scan_max
        )
        SELECT count(*) FILTER (WHERE e.redacted_at IS NULL) AS sendable,
            count(*) FILTER (WHERE e.redacted_at IS NOT NULL) AS redacted,
            (SELECT count(*) FROM scanned) AS scanned
        FROM scanned s CROSS JOIN LATERAL (SELECT type, redacted_at FROM events WHERE id = s.event OFFSET 0) e
        WHERE s.status = ANY(:statuses) AND {OF_TYPE}
        """  # noqa: S608 - constants
    ).bindparams(*ARRAYS)
    values = {**_selected(selection), "scan_max": scan_max}
    await walk_indexes(session)
    row = (await session.execute(statement, values)).one()
    return Matches(sendable=row.sendable, redacted=row.redacted, is_minimum=row.scanned == scan_max)


async def count_active(session: AsyncSession, *, webhook_id: UUID) -> int:
    """Return how many recoveries of a webhook wait or run."""
    statement = text(f"SELECT count(*) FROM recoveries WHERE webhook_id = :webhook_id AND {ACTIVE}")  # noqa: S608 - a constant
    count: int = (await session.execute(statement, {"webhook_id": webhook_id})).scalar_one()
    return count


async def insert(
    session: AsyncSession, *, recovery_id: UUID, realm: Realm, selection: Selection, matches: Matches, created_by: str
) -> Recovery:
    """Insert a recovery that a worker will take up."""
    statement = text(
        f"""
        INSERT INTO recoveries (id, tenant_id, environment, webhook_id, status, since, until, statuses, event_types, matched,
            matched_is_minimum, position, created_by)
        VALUES (:id, :tenant_id, :environment, :webhook_id, 'pending', :from, :to, :statuses, :event_types, :matched,
            :matched_is_minimum, :since, :created_by)
        RETURNING {COLUMNS}
        """  # noqa: S608 - names are ours
    ).bindparams(*ARRAYS)
    values = {
        **_selected(selection),
        **_of(realm),
        "id": recovery_id,
        "from": selection.since,
        "to": selection.until,
        "matched": matches.sendable,
        "matched_is_minimum": matches.is_minimum,
        "created_by": created_by,
    }
    return Recovery(**(await session.execute(statement, values)).one()._mapping)


async def find(session: AsyncSession, *, realm: Realm, recovery_id: UUID, for_update: bool = False) -> Recovery | None:
    """Return a recovery of the realm."""
    statement = text(
        f"SELECT {COLUMNS} FROM recoveries WHERE id = :id AND tenant_id = :tenant_id AND environment = :environment"  # noqa: S608 - names are ours
        f"{' FOR UPDATE' if for_update else ''}"
    )
    row = (await session.execute(statement, {"id": recovery_id, **_of(realm)})).one_or_none()
    return None if row is None else Recovery(**row._mapping)


async def find_page(
    session: AsyncSession, *, realm: Realm, webhook_id: UUID | None, before: UUID | None, limit: int
) -> Sequence[Recovery]:
    """Return up to ``limit`` recoveries of the realm, newest first."""
    statement = text(
        f"""
        SELECT {COLUMNS} FROM recoveries WHERE tenant_id = :tenant_id AND environment = :environment
          AND (CAST(:webhook_id AS uuid) IS NULL OR webhook_id = :webhook_id)
          AND (CAST(:before AS uuid) IS NULL OR id < :before)
        ORDER BY id DESC LIMIT :limit
        """  # noqa: S608 - names are ours
    )
    values = {**_of(realm), "webhook_id": webhook_id, "before": before, "limit": limit}
    return [Recovery(**row._mapping) for row in await session.execute(statement, values)]


async def finish(
    session: AsyncSession, recovery: Recovery, *, status: Literal["completed", "cancelled"], reason: str | None
) -> Recovery:
    """End a recovery that the caller holds ``FOR UPDATE``."""
    statement = text(
        "UPDATE recoveries SET status = :status, reason = :reason, finished_at = now(),"  # noqa: S608 - names are ours
        " matched = CASE WHEN :status = 'completed' THEN resent ELSE matched END,"
        " matched_is_minimum = matched_is_minimum AND :status <> 'completed'"
        f" WHERE id = :id RETURNING {COLUMNS}"
    ).bindparams(bindparam("status", type_=Text))
    row = (await session.execute(statement, {"id": recovery.id, "status": status, "reason": reason})).one()
    return Recovery(**row._mapping)


def index_condition(statuses: Sequence[EndedStatus]) -> str:
    """Return the condition by which the index of what was not delivered serves, where it may."""
    return "" if "delivered" in statuses else _UNDELIVERED


def _of(realm: Realm) -> dict[str, Any]:
    return {"tenant_id": realm.tenant_id, "environment": realm.environment}


def _selected(selection: Selection) -> dict[str, Any]:
    return {
        "webhook_id": selection.webhook_id,
        "since": typeids.lower_bound(selection.since),
        "until": typeids.lower_bound(selection.until),
        "statuses": list(selection.statuses),
        "event_types": None if selection.event_types is None else list(selection.event_types),
    }
