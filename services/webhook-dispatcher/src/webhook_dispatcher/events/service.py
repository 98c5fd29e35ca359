"""Accepting events: each one exactly once, together with every delivery it owes, in one statement."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shared.access import Realm
from shared.database import Database
from shared.grouping import Groups
from shared.problems import ServiceUnavailable
from webhook_dispatcher.events import repository
from webhook_dispatcher.events.errors import TooManyDeliveries, refusal_of
from webhook_dispatcher.events.event import Event, InvalidEventError, parse_published
from webhook_dispatcher.events.fan_out import RealmWebhooks, parts, plan
from webhook_dispatcher.events.own_types import OwnTypes
from webhook_dispatcher.tracing import OFF, Tracing

_REALMS_MAX = 10_000
_STATEMENTS_AT_ONCE = 2
_GROUP_EVENTS_MAX = 200
_GROUPED_EVENTS_MAX = 20
_GROUPED_DELIVERIES_MAX = 500
"""A body with more events, or that owes more, has a statement to itself: others would wait for it."""
_PLANS_MAX = 20
DELIVERIES_AT_ONCE = 10_000
"""How many deliveries one statement plans, so that nobody else waits long for it. One event may plan more by itself."""
DELIVERIES_OF_A_REQUEST_MAX = 100_000
"""How many the events of one HTTP request may owe: they are accepted together, in one statement."""


class RealmKeepsChangingError(Exception):
    """The webhooks of a realm changed again and again while events were being planned; try later."""


class NotInTurnError(Exception):
    """A webhook wants some of the events in order, and whether they are in their turn is not known; nothing was accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What became of a batch. ``duplicates`` counts events whose id was known already."""

    accepted: int
    duplicates: int
    webhooks: Sequence[UUID]
    """Webhooks that have new work."""
    refused: Mapping[UUID, InvalidEventError] = field(default_factory=dict)
    """Of ``accept``: events of own types that are not known, or whose data breaks its schema, by ``Event.id``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of an HTTP body: ``ids`` in the order sent."""

    acceptance: Acceptance
    ids: list[str]


class EventAcceptance:
    """Accepts events into the database; used by the HTTP route and by the stream's intake alike."""

    def __init__(self, database: Database, tracing: Tracing = OFF) -> None:
        self._database = database
        self._tracing = tracing
        self._realms: OrderedDict[Realm, RealmWebhooks] = OrderedDict()
        self._own_types = OwnTypes()
        self._groups: Groups[Event, Acceptance] = Groups(
            self._accept_together, at_once=_STATEMENTS_AT_ONCE, items_max=_GROUP_EVENTS_MAX
        )

    async def publish(
        self,
        body: bytes,
        *,
        realm: Realm,
        now: datetime,
        session: AsyncSession | None = None,
        traceparent: str | None = None,
    ) -> Published:
        """Accept the events of an HTTP body, all or none: at once, or within the transaction of ``session``.

        ``traceparent`` is the publisher's, if it is well formed.

        Raises InvalidEvent, DataBreaksSchema, UnknownEventType, PayloadTooLarge or TooManyDeliveries for what stands in it,
        ServiceUnavailable to try again.
        """
        try:
            with self._tracing.span("events.publish", traceparent) as carried:
                events = parse_published(body, realm=realm, now=now)
                if carried is not None:
                    events = [replace(event, traceparent=carried) for event in events]
                acceptance = await self._accept_published(events, realm=realm, session=session)
            return Published(acceptance=acceptance, ids=[event.event_id for event in events])
        except InvalidEventError as exc:
            raise refusal_of(exc) from exc
        except RealmKeepsChangingError as exc:
            raise ServiceUnavailable from exc

    async def wanted_in_order(self, events: Sequence[Event]) -> Sequence[bool]:
        """Tell for each event whether a webhook wants it in order, as far as is remembered; ``accept`` knows for certain."""
        webhooks: Mapping[Realm, RealmWebhooks] = self._realms
        if any(event.realm not in self._realms for event in events):
            async with self._database.autocommit() as connection:
                webhooks = await self._webhooks_of(connection, events)
        return [webhooks[event.realm].orders(event) for event in events]

    async def _accept_published(
        self, events: Sequence[Event], *, realm: Realm, session: AsyncSession | None
    ) -> Acceptance:
        if session is not None:
            connection = await session.connection()
            return await self._accept_body(connection, events)
        if self._is_small(events, realm):
            return await self._groups.join(events)
        async with self._database.autocommit() as connection:
            return await self._accept_body(connection, events)

    async def accept(self, events: Sequence[Event], *, in_turn: bool) -> Acceptance:
        """Commit the new ones of ``events`` with their deliveries; when this returns they are durable, but for the refused.

        ``in_turn``: all that was published before them is accepted. They are cut into parts that owe few enough deliveries for
        one statement. Raises NotInTurnError, and what the database raises; some parts were accepted then, or all (a lost
        connection at the commit): sending the same events again is harmless as long as they carry ids.
        """
        done: list[Acceptance] = []
        if self._tracing.is_on:
            events = [self._begin_trace(event) for event in events]
        async with self._database.autocommit() as connection:
            webhooks = await self._webhooks_of(connection, events)
            weights = [len(webhooks[event.realm].matching(event.type)) for event in events]
            for part in parts(events, weights, weight_max=DELIVERIES_AT_ONCE):
                accepted, refused = await self._accept_bodies(connection, [[event] for event in part], in_turn=in_turn)
                done.append(
                    Acceptance(
                        accepted=len(accepted.events),
                        duplicates=len(part) - len(accepted.events) - len(refused),
                        webhooks=accepted.webhooks,
                        refused={part[number].id: fault for number, fault in refused.items()},
                    )
                )
        return Acceptance(
            accepted=sum(item.accepted for item in done),
            duplicates=sum(item.duplicates for item in done),
            webhooks=list({webhook: None for item in done for webhook in item.webhooks}),
            refused={event: fault for item in done for event, fault in item.refused.items()},
        )

    def _begin_trace(self, event: Event) -> Event:
        with self._tracing.span("event.accept", event.traceparent) as carried:
            return replace(event, traceparent=carried)

    def _is_small(self, events: Sequence[Event], realm: Realm) -> bool:
        """Tell whether events may share a statement, as far as is known without asking the database."""
        webhooks = self._realms.get(realm)
        if webhooks is None or len(events) > _GROUPED_EVENTS_MAX:
            return False
        return sum(len(webhooks.matching(event.type)) for event in events) <= _GROUPED_DELIVERIES_MAX

    async def _accept_together(self, bodies: Sequence[Sequence[Event]]) -> Sequence[Acceptance | Exception]:
        """Accept the events of several bodies in one statement: what became of each body.

        The same event in two bodies is accepted for the first. The webhooks to wake are named by the first result alone.
        """
        async with self._database.autocommit() as connection:
            done, refused = await self._accept_bodies(connection, bodies, owed_max=DELIVERIES_OF_A_REQUEST_MAX)
        results: list[Acceptance | Exception] = []
        webhooks = done.webhooks
        for number, body in enumerate(bodies):
            if number in refused:
                results.append(refused[number])
                continue
            accepted = sum(event.id in done.events for event in body)
            results.append(Acceptance(accepted=accepted, duplicates=len(body) - accepted, webhooks=webhooks))
            webhooks = ()
        return results

    async def _accept_body(self, connection: AsyncConnection, events: Sequence[Event]) -> Acceptance:
        done, refused = await self._accept_bodies(connection, [events], owed_max=DELIVERIES_OF_A_REQUEST_MAX)
        if refused:
            raise refused[0]
        accepted = len(done.events)
        return Acceptance(accepted=accepted, duplicates=len(events) - accepted, webhooks=done.webhooks)

    async def _accept_bodies(
        self,
        connection: AsyncConnection,
        bodies: Sequence[Sequence[Event]],
        *,
        owed_max: int | None = None,
        in_turn: bool = True,
    ) -> tuple[repository.Accepted, Mapping[int, InvalidEventError]]:
        """Accept the events of several bodies, of each body all or none: what is new, and the refused bodies by number."""
        afresh = False
        for _ in range(_PLANS_MAX):
            webhooks = await self._webhooks_of(connection, [item for body in bodies for item in body], afresh=afresh)
            refused = await self._own_types.judge(connection, bodies, webhooks)
            if refused and not afresh:
                # Only what the realm has now is a reason to refuse.
                afresh = True
                continue
            events = [item for number, body in enumerate(bodies) if number not in refused for item in body]
            if not events:
                return repository.Accepted(events=frozenset(), webhooks=()), refused
            unique = list({(event.realm, event.event_id): event for event in reversed(events)}.values())[::-1]
            owed = sum(len(webhooks[event.realm].matching(event.type)) for event in unique)
            if owed_max is not None and owed > owed_max:
                raise TooManyDeliveries
            if not in_turn and any(webhooks[event.realm].orders(event) for event in unique):
                raise NotInTurnError
            done = await repository.accept(
                connection,
                events=unique,
                candidates=[item for event in unique for item in plan(event, webhooks[event.realm])],
                revisions={realm: known.revision for realm, known in webhooks.items()},
            )
            if done is not None:
                return done, refused
            afresh = True
        raise RealmKeepsChangingError

    async def _webhooks_of(
        self, connection: AsyncConnection, events: Sequence[Event], *, afresh: bool = False
    ) -> dict[Realm, RealmWebhooks]:
        """Return the webhooks of the events' realms as they are remembered, or as they are now."""
        found: dict[Realm, RealmWebhooks] = {}
        for realm in {event.realm for event in events}:
            known = None if afresh else self._realms.get(realm)
            found[realm] = known or await repository.load_realm(connection, realm)
            if known is None:
                self._remember(realm, found[realm])
        return found

    def _remember(self, realm: Realm, webhooks: RealmWebhooks) -> None:
        self._realms[realm] = webhooks
        self._realms.move_to_end(realm)
        while len(self._realms) > _REALMS_MAX:
            self._realms.popitem(last=False)
