"""Events of long ago, for tests of retention: with ids of their time, and all that belongs to them."""

import secrets
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

import asyncpg

from shared import typeids
from shared.access import Realm
from webhook_dispatcher.events.event import make_payload

_EVENT = """
    INSERT INTO events (id, tenant_id, environment, event_id, type, subject, occurred_at, payload, matched)
    VALUES ($1, $2, $3, $4, 'payment.succeeded', 'subject', $5, $6, $7)
"""
_KEY = "INSERT INTO event_keys (tenant_id, environment, event_id, id) VALUES ($1, $2, $3, $4)"
_ENDED = """
    INSERT INTO delivery_history (id, webhook_id, event, tenant_id, environment, status, attempts)
    VALUES ($1, $2, $3, $4, $5, 'failed', 1)
"""
_OUTSTANDING = """
    INSERT INTO deliveries (id, webhook_id, event, tenant_id, environment) VALUES ($1, $2, $3, $4, $5)
"""
_ATTEMPT = """
    INSERT INTO attempts (delivery_id, number, id, started_at, outcome, url, request_headers, request_body, response_status,
        response_headers, response_body)
    VALUES ($1, 1, $1, $2, 'failed', 'http://127.0.0.1/', '[]', 'canary sent', 500, '[]', 'canary answered')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldEvent:
    """An event with its deliveries."""

    id: UUID
    event_id: str
    ended: UUID | None
    outstanding: UUID | None


def id_at(moment: datetime) -> UUID:
    """Return a UUIDv7 of a moment."""
    bits = (int(moment.timestamp() * 1000) << 80) | (0x7 << 76) | secrets.randbits(76)
    return UUID(int=(bits & ~(0b11 << 62)) | (0b10 << 62))


async def make_day(database: asyncpg.Pool, day: date) -> None:
    """Make the partitions of a day."""
    for parent in ("events", "delivery_history", "attempts"):
        await database.execute("CALL make_partition($1, $2)", parent, day)


async def put_event(
    database: asyncpg.Pool,
    *,
    realm: Realm,
    webhook_id: UUID,
    at: datetime,
    with_: Literal["ended", "outstanding", "both", "nothing"] = "ended",
) -> OldEvent:
    """Insert an event of a moment with a delivery that failed, one that is outstanding, or both."""
    row_id = id_at(at)
    event_id = typeids.encode("evt", row_id)
    ended, outstanding = (UUID(int=(row_id.int >> 64 << 64) | (0b10 << 62) | secrets.randbits(62)) for _ in range(2))
    has_ended, has_outstanding = with_ in ("ended", "both"), with_ in ("outstanding", "both")
    payload = make_payload(
        event_id=event_id, event_type="payment.succeeded", occurred_at=at, subject="subject", data=b'{"canary":"data"}'
    )
    matched = has_ended + has_outstanding
    whose = (realm.tenant_id, realm.environment)
    await database.execute(_EVENT, row_id, *whose, event_id, at, payload, matched)
    await database.execute(_KEY, *whose, event_id, row_id)
    if has_ended:
        await database.execute(_ENDED, ended, webhook_id, row_id, *whose)
        await database.execute(_ATTEMPT, ended, at)
    if has_outstanding:
        await database.execute(_OUTSTANDING, outstanding, webhook_id, row_id, *whose)
    return OldEvent(
        id=row_id,
        event_id=event_id,
        ended=ended if has_ended else None,
        outstanding=outstanding if has_outstanding else None,
    )
