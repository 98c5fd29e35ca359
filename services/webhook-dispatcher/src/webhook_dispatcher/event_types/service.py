"""Event types: the built-in catalogue, and those that a realm defines itself."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from shared import strict_json, typeids
from shared.access import Caller, Realm
from shared.pagination import Page, PageQuery, page_of
from shared.problems import NotFound, PointedError, ValidationFailed
from webhook_dispatcher.audit import repository as audit
from webhook_dispatcher.event_types import catalogue, repository
from webhook_dispatcher.event_types.data_schema import CheckBudget, DataSchema
from webhook_dispatcher.event_types.errors import (
    EventTypeExists,
    EventTypeInUse,
    EventTypeLimitReached,
    EventTypeReserved,
    ExampleBreaksSchema,
    SchemaRefused,
)
from webhook_dispatcher.event_types.event_type import EventType
from webhook_dispatcher.event_types.realm_type import TYPES_MAX, RealmType, is_reserved
from webhook_dispatcher.event_types.schema_limits import SchemaRefusedError
from webhook_dispatcher.event_types.schemas import EventTypeIn, EventTypePatch

DOCUMENT_BYTES_MAX: Final = 64 * 1024
_INTEGER_BITS_MAX: Final = 63
_UUID_VERSION: Final = 7

AnyType = EventType | RealmType


async def page(session: AsyncSession, realm: Realm, query: PageQuery) -> Page[AnyType]:
    """Return one page: own types, newest first, then the catalogue in its order.

    Raises ValidationFailed for a cursor that is none of this list.
    """
    built_in = catalogue.all_types()
    positions = [event_type.position for event_type in built_in]
    found: list[AnyType] = []
    start = positions.index(query.position) + 1 if query.position in positions else 0
    if start == 0:
        if query.position is not None and query.position.version != _UUID_VERSION:
            raise ValidationFailed(errors=[{"pointer": "query/cursor", "detail": "not a cursor of this list"}])
        found += await repository.find_page(session, realm=realm, after=query.position, limit=query.limit + 1)
    found += built_in[start : start + query.limit + 1 - len(found)]
    return page_of(found, limit=query.limit, position=_position, item=lambda event_type: event_type)


async def get(session: AsyncSession, realm: Realm, name: str) -> AnyType:
    """Return a type; raises NotFound."""
    found = catalogue.find(name) or await repository.find(session, realm=realm, name=name)
    if found is None:
        raise NotFound("There is no such event type.")
    return found


async def create(session: AsyncSession, caller: Caller, wanted: EventTypeIn) -> RealmType:
    """Define a type.

    Raises EventTypeReserved, EventTypeExists, EventTypeLimitReached, SchemaRefused, ExampleBreaksSchema, ValidationFailed.
    """
    if is_reserved(wanted.name):
        raise EventTypeReserved
    texts = _checked(wanted.json_schema, wanted.example)
    if await repository.count_locked(session, realm=caller.realm) >= TYPES_MAX:
        raise EventTypeLimitReached
    values = {
        "id": typeids.new_id(),
        "name": wanted.name,
        "description": wanted.description,
        "created_by": caller.actor,
        **texts,
    }
    if not await repository.insert(session, realm=caller.realm, values=values):
        raise EventTypeExists
    await audit.record(session, caller, action="event_type.created", target=wanted.name, changes={})
    return await _own(session, caller.realm, wanted.name)


async def change(session: AsyncSession, caller: Caller, name: str, wanted: EventTypePatch) -> RealmType:
    """Change an own type; events that were accepted stay as they are.

    Raises NotFound, EventTypeReserved, SchemaRefused, ExampleBreaksSchema, ValidationFailed.
    """
    current = await _own(session, caller.realm, name, for_update=True)
    changes = wanted.model_dump(exclude_unset=True)
    schema, example = changes.get("json_schema", current.json_schema), changes.get("example", current.example)
    values = {"name": name, "description": changes.get("description", current.description)}
    await repository.update(session, realm=caller.realm, values={**values, **_checked(schema, example)})
    await audit.record(session, caller, action="event_type.changed", target=name, changes={"fields": sorted(changes)})
    return await _own(session, caller.realm, name)


async def delete(session: AsyncSession, caller: Caller, name: str) -> None:
    """Remove an own type; events that were accepted stay. Raises NotFound, EventTypeReserved, EventTypeInUse."""
    await _own(session, caller.realm, name, for_update=True)
    if await repository.is_selected(session, realm=caller.realm, name=name):
        raise EventTypeInUse
    await repository.delete(session, realm=caller.realm, name=name)
    await audit.record(session, caller, action="event_type.deleted", target=name, changes={})


async def _own(session: AsyncSession, realm: Realm, name: str, *, for_update: bool = False) -> RealmType:
    if catalogue.is_known(name):
        raise EventTypeReserved
    found = await repository.find(session, realm=realm, name=name, for_update=for_update)
    if found is None:
        raise NotFound("There is no such event type.")
    return found


def _checked(json_schema: Mapping[str, Any], example: Mapping[str, Any]) -> dict[str, str]:
    """Return both as JSON texts, if events can be checked against the one and the other fits it."""
    texts = {"json_schema": _text("json_schema", json_schema), "example": _text("example", example)}
    try:
        compiled = DataSchema.from_outside(json_schema, texts["json_schema"].encode())
    except SchemaRefusedError as exc:
        raise SchemaRefused([{"pointer": f"/json_schema{exc.pointer}", "detail": exc.detail}]) from exc
    fault = compiled.fault(texts["example"].encode(), budget=CheckBudget())
    if fault is not None:
        raise ExampleBreaksSchema([{**fault, "pointer": f"/example{fault['pointer']}"}])
    return texts


def _text(name: str, document: Mapping[str, Any]) -> str:
    faults = list(_unportable(document, (name,)))
    if faults:
        raise ValidationFailed(errors=faults[:20])
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > DOCUMENT_BYTES_MAX:
        detail = f"at most {DOCUMENT_BYTES_MAX} bytes as JSON"
        raise ValidationFailed(errors=[{"pointer": f"/{name}", "detail": detail}])
    return text


def _unportable(document: object, path: tuple[str | int, ...]) -> Iterator[PointedError]:
    """Give the numbers that readers of JSON do not agree on: documents are shown to integrators, who generate code from them."""
    pending: list[tuple[object, tuple[str | int, ...]]] = [(document, path)]
    while pending:
        value, where = pending.pop()
        if isinstance(value, Mapping):
            pending += [(item, (*where, key)) for key, item in value.items()]
        elif isinstance(value, list):
            pending += [(item, (*where, index)) for index, item in enumerate(value)]
        elif (isinstance(value, int) and value.bit_length() > _INTEGER_BITS_MAX) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            yield {"pointer": strict_json.pointer_of(where), "detail": "a number beyond 64 bits"}


def _position(event_type: AnyType) -> Any:
    return event_type.id if isinstance(event_type, RealmType) else event_type.position
