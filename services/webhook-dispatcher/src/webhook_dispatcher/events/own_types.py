"""Events of types that a realm defined itself: found, and their ``data`` checked, against what the realm has now.

A refusal is only as good as the picture it was judged by: see ``EventAcceptance``, which looks afresh before it refuses, and
accepts nothing that was judged by an older one.
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.access import Realm
from shared.problems import PointedError
from webhook_dispatcher.event_types import repository as event_types
from webhook_dispatcher.event_types.data_schema import CheckBudget, DataSchema
from webhook_dispatcher.event_types.realm_type import RealmTypeRef
from webhook_dispatcher.event_types.schema_limits import SchemaRefusedError
from webhook_dispatcher.event_types.schema_memory import SchemaMemory
from webhook_dispatcher.events.event import Event, InvalidEventError, check_data, data_of, unknown_type
from webhook_dispatcher.events.fan_out import RealmWebhooks

log = structlog.get_logger()

_FAULTS_MAX = 100
Judged = Sequence[Sequence[Event]]


class OwnTypes:
    """See the module. One per process: it remembers compiled schemas."""

    def __init__(self) -> None:
        self._memory = SchemaMemory()

    async def judge(
        self, connection: AsyncConnection, bodies: Judged, realms: Mapping[Realm, RealmWebhooks]
    ) -> dict[int, InvalidEventError]:
        """Return the refused bodies by their number, each with all its faults. Costs nothing where no type is an own one."""
        concerned = [event for body in bodies for event in body if event.own_type]
        if not concerned:
            return {}
        refs: dict[Realm, Mapping[str, RealmTypeRef]] = {}
        for realm in {event.realm for event in concerned}:
            refs[realm] = await self._names(connection, realm, realms[realm])
        wanted = {refs[event.realm][event.type] for event in concerned if event.type in refs[event.realm]}
        schemas = await self._schemas(connection, wanted)
        refused: dict[int, InvalidEventError] = {}
        for number, body in enumerate(bodies):
            fault = await self._judge_body(body, refs, schemas)
            if fault is not None:
                refused[number] = fault
        return refused

    async def _judge_body(
        self,
        body: Sequence[Event],
        refs: Mapping[Realm, Mapping[str, RealmTypeRef]],
        schemas: Mapping[RealmTypeRef, DataSchema],
    ) -> InvalidEventError | None:
        faults: list[InvalidEventError] = []
        budget = CheckBudget()
        for event in body:
            if not event.own_type:
                continue
            ref = refs[event.realm].get(event.type)
            schema = schemas.get(ref) if ref else None
            if schema is None:
                faults.append(unknown_type(event.type).at(event.pointer))
                continue
            try:
                check_data(schema, data_of(event.payload, test=False), budget=budget)
            except InvalidEventError as exc:
                faults.append(exc.at(event.pointer))
            except Exception:
                # A validator that fails must not stop everybody's events, again and again; the event is set aside.
                log.exception("event.not_checked", event_type=event.type)
                fault: PointedError = {
                    "pointer": f"{event.pointer}/data",
                    "detail": "could not be checked; the fault is ours",
                }
                faults.append(InvalidEventError("data_breaks_schema", [fault]))
            # Checks of large events take their time: others have a turn in between.
            await asyncio.sleep(0)
        return InvalidEventError.joined(faults, faults_max=_FAULTS_MAX) if faults else None

    async def _names(
        self, connection: AsyncConnection, realm: Realm, known: RealmWebhooks
    ) -> Mapping[str, RealmTypeRef]:
        if known.own_types is None:
            # Read after the picture: if a type changed in between, the picture's revision is out of date as well.
            known.own_types = await event_types.names(connection, realm=realm)
        return known.own_types

    async def _schemas(self, connection: AsyncConnection, wanted: set[RealmTypeRef]) -> dict[RealmTypeRef, DataSchema]:
        found = {ref: schema for ref in wanted if (schema := self._memory.get(ref)) is not None}
        missing = [ref.id for ref in wanted - found.keys()]
        if not missing:
            return found
        for ref, json_schema, text in await event_types.schemas(connection, missing):
            try:
                compiled = DataSchema.from_outside(json_schema, text.encode())
            except SchemaRefusedError as exc:
                # It was compiled when it was stored; only a later version of ours can come to think otherwise.
                log.error("event_type.schema_not_usable", type_id=str(ref.id), pointer=exc.pointer, detail=exc.detail)  # noqa: TRY400 - the stack says nothing
                continue
            self._memory.put(ref, compiled)
            found[ref] = compiled
        return found
