"""All SQL of own event types. Every change bumps the realm's revision: whoever plans events looks at them afresh then."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shared.access import Realm
from webhook_dispatcher.event_types.realm_type import RealmType, RealmTypeRef
from webhook_dispatcher.webhooks.repository import bump_realm

_COLUMNS = "id, revision, name, description, json_schema, example"
_OF_REALM = "tenant_id = :tenant_id AND environment = :environment"
_REPLACED = """description = :description, json_schema = CAST(:json_schema AS text)::json,
    example = CAST(:example AS text)::json, revision = revision + 1, updated_at = now()"""


async def count_locked(session: AsyncSession, *, realm: Realm) -> int:
    """Return how many own types the realm has; whoever else counts waits until this transaction has ended."""
    await bump_realm(session, tenant_id=realm.tenant_id, environment=realm.environment)
    statement = text(f"SELECT count(*) FROM event_types WHERE {_OF_REALM}")  # noqa: S608 - a constant
    count: int = (await session.execute(statement, _of(realm))).scalar_one()
    return count


async def insert(session: AsyncSession, *, realm: Realm, values: Mapping[str, Any]) -> bool:
    """Add a type; False if there is one of that name. ``json_schema`` and ``example`` are JSON texts."""
    statement = text(
        "INSERT INTO event_types (id, tenant_id, environment, name, description, json_schema, example, created_by)"
        " VALUES (:id, :tenant_id, :environment, :name, :description, CAST(:json_schema AS text)::json,"
        " CAST(:example AS text)::json, :created_by)"
        " ON CONFLICT (tenant_id, environment, name) DO NOTHING RETURNING id"
    )
    return (await session.execute(statement, {**values, **_of(realm)})).one_or_none() is not None


async def find(session: AsyncSession, *, realm: Realm, name: str, for_update: bool = False) -> RealmType | None:
    """Return the own type of that name."""
    statement = text(
        f"SELECT {_COLUMNS} FROM event_types WHERE {_OF_REALM} AND name = :name{' FOR UPDATE' if for_update else ''}"  # noqa: S608 - constants
    )
    row = (await session.execute(statement, {**_of(realm), "name": name})).one_or_none()
    return None if row is None else _type(row)


async def find_page(session: AsyncSession, *, realm: Realm, after: UUID | None, limit: int) -> Sequence[RealmType]:
    """Return up to ``limit`` own types, newest first."""
    statement = text(
        f"SELECT {_COLUMNS} FROM event_types WHERE {_OF_REALM} AND (CAST(:after AS uuid) IS NULL OR id < :after)"  # noqa: S608 - constants
        " ORDER BY id DESC LIMIT :limit"
    )
    rows = await session.execute(statement, {**_of(realm), "after": after, "limit": limit})
    return [_type(row) for row in rows]


async def update(session: AsyncSession, *, realm: Realm, values: Mapping[str, Any]) -> None:
    """Replace what a type says, by ``name``; whoever plans an event of the realm sees it."""
    statement = text(
        f"UPDATE event_types SET {_REPLACED} WHERE {_OF_REALM} AND name = :name"  # noqa: S608 - constants
    )
    await session.execute(statement, {**values, **_of(realm)})
    await bump_realm(session, tenant_id=realm.tenant_id, environment=realm.environment)


async def delete(session: AsyncSession, *, realm: Realm, name: str) -> None:
    """Remove a type."""
    statement = text(f"DELETE FROM event_types WHERE {_OF_REALM} AND name = :name")  # noqa: S608 - a constant
    await session.execute(statement, {**_of(realm), "name": name})
    await bump_realm(session, tenant_id=realm.tenant_id, environment=realm.environment)


async def is_selected(session: AsyncSession, *, realm: Realm, name: str) -> bool:
    """Tell whether a webhook of the realm selects the type by its name."""
    statement = text(
        f"SELECT EXISTS (SELECT 1 FROM webhooks WHERE {_OF_REALM} AND deleted_at IS NULL AND :name = ANY(events))"  # noqa: S608 - a constant
    )
    return bool((await session.execute(statement, {**_of(realm), "name": name})).scalar_one())


async def names(connection: AsyncConnection | AsyncSession, *, realm: Realm) -> dict[str, RealmTypeRef]:
    """Return which schema each own name stands for."""
    statement = text(f"SELECT name, id, revision FROM event_types WHERE {_OF_REALM}")  # noqa: S608 - a constant
    return {row.name: RealmTypeRef(row.id, row.revision) for row in await connection.execute(statement, _of(realm))}


async def schemas(
    connection: AsyncConnection, ids: Sequence[UUID]
) -> list[tuple[RealmTypeRef, Mapping[str, Any], str]]:
    """Return the schemas of these types as they are now, each also as its JSON text; the ids were found in their realms."""
    statement = text(
        "SELECT id, revision, json_schema, json_schema::text AS json_text FROM event_types"
        " WHERE id = ANY(CAST(:ids AS uuid[]))"
    )
    rows = await connection.execute(statement, {"ids": list(ids)})
    return [(RealmTypeRef(row.id, row.revision), row.json_schema, row.json_text) for row in rows]


def _of(realm: Realm) -> dict[str, Any]:
    return {"tenant_id": realm.tenant_id, "environment": realm.environment}


def _type(row: Row[Any]) -> RealmType:
    return RealmType(**row._mapping)
