"""All SQL of events: accepting them (one statement, one round trip) and finding one; lists in ``search_repository``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shared.access import Realm
from webhook_dispatcher.events.event import Event
from webhook_dispatcher.events.fan_out import Candidate, RealmWebhooks, Subscription

# One statement: the realm's revisions are compared, the keys decide which events are new, and what they owe is written.
# Keys are inserted in their order, so that two batches never wait for one another in a circle; deliveries in that of their
# events, each due at its own microsecond (a volatile column is computed after the sort), so that a webhook gets a batch in order.
_BEGIN = """
    WITH stale AS (
        SELECT 1 FROM unnest(CAST(:r_tenants AS uuid[]), CAST(:r_environments AS text[]), CAST(:r_revisions AS bigint[]))
            AS r (tenant_id, environment, revision)
        LEFT JOIN realm_revisions now_at USING (tenant_id, environment)
        WHERE COALESCE(now_at.revision, 0) <> r.revision
    ), wanted AS MATERIALIZED (
        SELECT * FROM unnest(
            CAST(:e_ids AS uuid[]), CAST(:e_tenants AS uuid[]), CAST(:e_environments AS text[]), CAST(:e_event_ids AS text[]),
            CAST(:e_types AS text[]), CAST(:e_subjects AS text[]), CAST(:e_ordering_keys AS text[]),
            CAST(:e_occurred AS timestamptz[]), CAST(:e_payloads AS bytea[]), CAST(:e_traceparents AS text[])
        ) AS e (id, tenant_id, environment, event_id, type, subject, ordering_key, occurred_at, payload, traceparent)
        WHERE NOT EXISTS (SELECT 1 FROM stale)
    ), accepted AS (
        INSERT INTO event_keys (tenant_id, environment, event_id, id)
        SELECT tenant_id, environment, event_id, id FROM wanted ORDER BY 1, 2, 3
        ON CONFLICT DO NOTHING
        RETURNING id
    )
"""
_MAKE = """
    , made AS (
        INSERT INTO deliveries (id, webhook_id, event, tenant_id, environment, next_attempt_at)
        SELECT id, webhook_id, event, tenant_id, environment, clock_timestamp()
        FROM unnest(
            CAST(:c_ids AS uuid[]), CAST(:c_webhooks AS uuid[]), CAST(:c_events AS uuid[]), CAST(:c_tenants AS uuid[]),
            CAST(:c_environments AS text[])
        ) AS c (id, webhook_id, event, tenant_id, environment)
        WHERE event IN (SELECT id FROM accepted)
        ORDER BY event
        RETURNING webhook_id, event
    )
"""
_MAKE_FIRST_AND_ORDERED = """
    , owed AS MATERIALIZED (
        SELECT * FROM unnest(
            CAST(:c_ids AS uuid[]), CAST(:c_webhooks AS uuid[]), CAST(:c_events AS uuid[]), CAST(:c_firsts AS boolean[]),
            CAST(:c_functions AS text[]), CAST(:c_subjects AS text[]), CAST(:c_tenants AS uuid[]),
            CAST(:c_environments AS text[]), CAST(:c_order_keys AS text[])
        ) AS c (id, webhook_id, event, first, function, subject, tenant_id, environment, order_key)
    ), firsts AS (
        INSERT INTO first_matches (webhook_id, function, subject, event)
        SELECT webhook_id, function, subject, event FROM owed
        WHERE first AND event IN (SELECT id FROM accepted) ORDER BY 1, 2, 3, 4
        ON CONFLICT DO NOTHING
        RETURNING webhook_id, event
    ), due AS MATERIALIZED (
        SELECT id, webhook_id, event, tenant_id, environment, order_key,
            CASE WHEN order_key IS NOT NULL
                THEN row_number() OVER (PARTITION BY webhook_id, order_key ORDER BY event) END AS turn
        FROM owed
        WHERE (NOT first AND event IN (SELECT id FROM accepted))
           OR (first AND (webhook_id, event) IN (SELECT webhook_id, event FROM firsts))
    ), chained AS (
        INSERT INTO ordering_keys AS k (webhook_id, key, outstanding)
        SELECT webhook_id, order_key, count(*) FROM due WHERE order_key IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (webhook_id, key) DO UPDATE SET outstanding = k.outstanding + EXCLUDED.outstanding
        RETURNING k.webhook_id, k.key, old.outstanding IS NOT NULL AS is_busy
    ), made AS (
        INSERT INTO deliveries (id, webhook_id, event, tenant_id, environment, next_attempt_at, order_key, position, status)
        SELECT due.id, due.webhook_id, due.event, due.tenant_id, due.environment, clock_timestamp(), due.order_key,
            CASE WHEN due.order_key IS NOT NULL THEN nextval('delivery_positions') END,
            CASE WHEN chained.is_busy OR due.turn > 1 THEN 'blocked' ELSE 'pending' END
        FROM due LEFT JOIN chained ON chained.webhook_id = due.webhook_id AND chained.key = due.order_key
        ORDER BY due.event
        RETURNING webhook_id, event
    )
"""
_END = """
    , stored AS (
        INSERT INTO events
            (id, tenant_id, environment, event_id, type, subject, ordering_key, occurred_at, payload, matched, traceparent)
        SELECT id, tenant_id, environment, event_id, type, subject, ordering_key, occurred_at, payload,
            COALESCE(counts.matched, 0), traceparent
        FROM wanted LEFT JOIN (SELECT event, count(*) AS matched FROM made GROUP BY event) counts ON counts.event = id
        WHERE id IN (SELECT id FROM accepted) ORDER BY id
    )
    SELECT EXISTS (SELECT 1 FROM stale) AS stale,
        (SELECT array_agg(id) FROM accepted) AS accepted,
        (SELECT array_agg(DISTINCT webhook_id) FROM made) AS webhooks
"""
_ACCEPT = text(_BEGIN + _MAKE_FIRST_AND_ORDERED + _END)
# Most batches owe nothing that is the first of its request or has a turn; beginning all steps of a statement is what a small
# batch costs.
_ACCEPT_PLAIN = text(_BEGIN + _MAKE + _END)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What one statement did: the rows that are new, and the webhooks that have work now."""

    events: frozenset[UUID]
    webhooks: Sequence[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """One row of ``events``."""

    id: UUID
    event_id: str
    environment: str
    type: str
    subject: str | None
    occurred_at: datetime
    payload: bytes
    matched: int
    test: bool
    transaction: int
    redacted_at: datetime | None


async def accept(
    connection: AsyncConnection,
    *,
    events: Sequence[Event],
    candidates: Sequence[Candidate],
    revisions: Mapping[Realm, int],
) -> Accepted | None:
    """Insert what is new of ``events`` with the deliveries owed; None if a realm's webhooks changed: plan afresh then."""
    values: dict[str, Any] = {
        "r_tenants": [realm.tenant_id for realm in revisions],
        "r_environments": [realm.environment for realm in revisions],
        "r_revisions": list(revisions.values()),
        "e_ids": [event.id for event in events],
        "e_tenants": [event.realm.tenant_id for event in events],
        "e_environments": [event.realm.environment for event in events],
        "e_event_ids": [event.event_id for event in events],
        "e_types": [event.type for event in events],
        "e_subjects": [event.subject for event in events],
        "e_ordering_keys": [event.ordering_key for event in events],
        "e_occurred": [event.occurred_at for event in events],
        "e_payloads": [event.payload for event in events],
        "e_traceparents": [event.traceparent for event in events],
        "c_ids": [item.id for item in candidates],
        "c_webhooks": [item.webhook_id for item in candidates],
        "c_events": [item.event.id for item in candidates],
        "c_tenants": [item.event.realm.tenant_id for item in candidates],
        "c_environments": [item.event.realm.environment for item in candidates],
    }
    statement = _ACCEPT_PLAIN
    if any(item.first or item.order_key is not None for item in candidates):
        statement = _ACCEPT
        values |= {
            "c_firsts": [item.first for item in candidates],
            "c_functions": [item.event.function for item in candidates],
            "c_subjects": [item.event.subject for item in candidates],
            "c_order_keys": [item.order_key for item in candidates],
        }
    row = (await connection.execute(statement, values)).one()
    if row.stale:
        return None
    return Accepted(events=frozenset(row.accepted or ()), webhooks=row.webhooks or ())


async def load_realm(connection: AsyncConnection, realm: Realm) -> RealmWebhooks:
    """Return the realm's webhooks and their revision, of one snapshot."""
    rows = (
        await connection.execute(
            text(
                """
                SELECT r.revision, w.id, w.events, w.trigger, w.ordered
                FROM realm_revisions r
                LEFT JOIN webhooks w ON w.tenant_id = r.tenant_id AND w.environment = r.environment
                    AND w.deleted_at IS NULL
                WHERE r.tenant_id = :tenant_id AND r.environment = :environment
                """
            ),
            {"tenant_id": realm.tenant_id, "environment": realm.environment},
        )
    ).all()
    return RealmWebhooks(
        revision=rows[0].revision if rows else 0,
        subscriptions=[
            Subscription(webhook_id=row.id, events=tuple(row.events), trigger=row.trigger, ordered=row.ordered)
            for row in rows
            if row.id is not None
        ],
    )


async def insert_test_event(session: AsyncSession, *, event: Event, webhook_id: UUID, delivery_id: UUID) -> None:
    """Insert a test event with its one delivery."""
    values = {
        "id": event.id,
        "tenant_id": event.realm.tenant_id,
        "environment": event.realm.environment,
        "event_id": event.event_id,
        "type": event.type,
        "subject": event.subject,
        "occurred_at": event.occurred_at,
        "payload": event.payload,
    }
    await session.execute(
        text(
            "INSERT INTO event_keys (tenant_id, environment, event_id, id)"
            " VALUES (:tenant_id, :environment, :event_id, :id)"
        ),
        values,
    )
    await session.execute(
        text(
            "INSERT INTO events (id, tenant_id, environment, event_id, type, subject, occurred_at, payload, matched, test)"
            " VALUES (:id, :tenant_id, :environment, :event_id, :type, :subject, :occurred_at, :payload, 1, true)"
        ),
        values,
    )
    await session.execute(
        text(
            "INSERT INTO deliveries (id, webhook_id, event, tenant_id, environment)"
            " VALUES (:delivery_id, :webhook_id, :id, :tenant_id, :environment)"
        ),
        {**values, "delivery_id": delivery_id, "webhook_id": webhook_id},
    )


EVENT_COLUMNS = (
    "id, event_id, environment, type, subject, occurred_at, payload, matched, test, transaction, redacted_at"
)


async def find(session: AsyncSession, *, realm: Realm, event_id: str) -> StoredEvent | None:
    """Return an event of the realm by its id."""
    statement = text(
        f"SELECT {EVENT_COLUMNS} FROM events WHERE id = (SELECT id FROM event_keys"  # noqa: S608 - names are ours
        " WHERE tenant_id = :tenant_id AND environment = :environment AND event_id = :event_id)"
    )
    values = {"tenant_id": realm.tenant_id, "environment": realm.environment, "event_id": event_id}
    row = (await session.execute(statement, values)).one_or_none()
    return None if row is None else StoredEvent(**row._mapping)


async def find_row_id(session: AsyncSession, *, realm: Realm, event_id: str) -> UUID | None:
    """Return the row of an event id of the realm."""
    statement = text(
        "SELECT id FROM event_keys WHERE tenant_id = :tenant_id AND environment = :environment AND event_id = :event_id"
    )
    values = {"tenant_id": realm.tenant_id, "environment": realm.environment, "event_id": event_id}
    row_id: UUID | None = (await session.execute(statement, values)).scalar_one_or_none()
    return row_id
