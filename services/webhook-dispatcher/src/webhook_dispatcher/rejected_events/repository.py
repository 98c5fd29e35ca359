"""All SQL of rejected events. A place is a realm, or None for entries of which none could be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.rejected_events.rejection import Readable, Rejection

_COLUMNS = """id, source, entry_id, reason, detail, event_id, type, default_event_id, size_bytes, complete, rejected_at,
    replayed_at, replayed_by, replayed_event_id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedEvent:
    """One row of ``rejected_events``, without its body."""

    id: UUID
    source: str
    entry_id: str
    reason: str
    detail: str
    event_id: str | None
    type: str | None
    default_event_id: str
    size_bytes: int
    complete: bool
    rejected_at: datetime
    replayed_at: datetime | None
    replayed_by: str | None
    replayed_event_id: str | None


async def insert(session: AsyncSession, rejections: Sequence[tuple[Rejection, Readable]]) -> None:
    """Keep entries; one that is known already is left alone."""
    statement = text(
        """
        INSERT INTO rejected_events (id, fingerprint, tenant_id, environment, source, entry_id, reason, detail, event_id,
            type, default_event_id, body, size_bytes, complete)
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:fingerprints AS bytea[]), CAST(:tenants AS uuid[]), CAST(:environments AS text[]),
            CAST(:sources AS text[]), CAST(:entry_ids AS text[]), CAST(:reasons AS text[]), CAST(:details AS text[]),
            CAST(:event_ids AS text[]), CAST(:types AS text[]), CAST(:default_ids AS text[]), CAST(:bodies AS bytea[]),
            CAST(:sizes AS integer[]), CAST(:wholes AS boolean[]))
        ON CONFLICT (fingerprint) DO NOTHING
        """
    )
    realms = [readable.realm for _, readable in rejections]
    await session.execute(
        statement,
        {
            "ids": [typeids.new_id() for _ in rejections],
            "fingerprints": [item.fingerprint for item, _ in rejections],
            "tenants": [realm.tenant_id if realm else None for realm in realms],
            "environments": [realm.environment if realm else None for realm in realms],
            "sources": [item.source for item, _ in rejections],
            "entry_ids": [item.kept_entry_id for item, _ in rejections],
            "reasons": [item.reason for item, _ in rejections],
            "details": [item.kept_detail for item, _ in rejections],
            "event_ids": [readable.event_id for _, readable in rejections],
            "types": [readable.type for _, readable in rejections],
            "default_ids": [item.default_event_id for item, _ in rejections],
            "bodies": [item.kept_body for item, _ in rejections],
            "sizes": [len(item.body) for item, _ in rejections],
            "wholes": [item.is_whole for item, _ in rejections],
        },
    )


async def trim(session: AsyncSession, place: Realm | None, *, rows_max: int, bytes_max: int) -> int:
    """Remove the oldest of a place beyond its limits; returns how many."""
    statement = text(
        f"""
        DELETE FROM rejected_events WHERE id IN (
            SELECT id FROM (
                SELECT id, row_number() OVER newest AS number, sum(octet_length(body)) OVER newest AS total
                FROM rejected_events WHERE {_at(place)} WINDOW newest AS (ORDER BY id DESC)
            ) ranked WHERE number > :rows_max OR total > :bytes_max
        ) RETURNING id
        """  # noqa: S608 - constants
    )
    removed = await session.execute(statement, {**_values(place), "rows_max": rows_max, "bytes_max": bytes_max})
    return len(removed.all())


async def delete_older(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Remove up to ``limit`` entries that were rejected before a time; returns how many."""
    statement = text(
        "DELETE FROM rejected_events WHERE id IN (SELECT id FROM rejected_events WHERE id < :before ORDER BY id LIMIT :limit)"
        " RETURNING id"
    )
    removed = await session.execute(statement, {"before": typeids.lower_bound(before), "limit": limit})
    return len(removed.all())


_CONDITIONS = {
    "reason": "reason = :reason",
    "type": "type = :type",
    "from": "id >= :from",
    "to": "id < :to",
    "replayed": "(replayed_at IS NOT NULL) = :replayed",
    "before": "id < :before",
}


async def find_page(
    session: AsyncSession, *, place: Realm | None, filters: Mapping[str, Any], limit: int
) -> Sequence[RejectedEvent]:
    """Return up to ``limit`` entries of a place, newest first; a place holds few enough to be read through."""
    conditions = [_at(place), *(_CONDITIONS[name] for name, value in filters.items() if value is not None)]
    statement = text(
        f"SELECT {_COLUMNS} FROM rejected_events WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit"  # noqa: S608 - constants
    )
    values = {**_values(place), "limit": limit}
    for name, value in filters.items():
        values[name] = typeids.lower_bound(value) if isinstance(value, datetime) else value
    return [RejectedEvent(**row._mapping) for row in await session.execute(statement, values)]


async def find(
    session: AsyncSession, *, rejected_id: UUID, places: Sequence[Realm | None], for_update: bool = False
) -> tuple[RejectedEvent, bytes] | None:
    """Return an entry of one of these places with its body, whole or not."""
    conditions = " OR ".join(f"({_at(place)})" for place in places)
    values = {name: value for place in places for name, value in _values(place).items()}
    statement = text(
        f"SELECT {_COLUMNS}, body FROM rejected_events WHERE id = :id AND ({conditions}){' FOR UPDATE' if for_update else ''}"  # noqa: S608 - constants
    )
    row = (await session.execute(statement, {"id": rejected_id, **values})).one_or_none()
    if row is None:
        return None
    fields = dict(row._mapping)
    body: bytes = fields.pop("body")
    return RejectedEvent(**fields), body


async def mark_replayed(session: AsyncSession, *, rejected_id: UUID, by: str, event_id: str) -> None:
    """Note that an entry has become an event."""
    await session.execute(
        text(
            "UPDATE rejected_events SET replayed_at = now(), replayed_by = :by, replayed_event_id = :event_id WHERE id = :id"
        ),
        {"id": rejected_id, "by": by, "event_id": event_id},
    )


def _at(place: Realm | None) -> str:
    return "tenant_id IS NULL" if place is None else "tenant_id = :tenant_id AND environment = :environment"


def _values(place: Realm | None) -> dict[str, Any]:
    return {} if place is None else {"tenant_id": place.tenant_id, "environment": place.environment}
