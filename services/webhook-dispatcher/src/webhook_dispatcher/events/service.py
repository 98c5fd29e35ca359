"""Accepting events: each one exactly once, together with every delivery it owes, in one statement."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shared.access import Realm
from shared.database import Database
from shared.problems import ServiceUnavailable
from webhook_dispatcher.events import repository
from webhook_dispatcher.events.errors import TooManyDeliveries, refusal_of
from webhook_dispatcher.events.event import Event, InvalidEventError, parse_published
from webhook_dispatcher.events.fan_out import RealmWebhooks, parts, plan
from webhook_dispatcher.events.grouping import Groups

_REALMS_MAX = 10_000
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of an HTTP body: ``ids`` in the order sent."""

    acceptance: Acceptance
    ids: list[str]


class EventAcceptance:
    """Accepts events into the database; used by the HTTP route and by the stream's intake alike."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._realms: OrderedDict[Realm, RealmWebhooks] = OrderedDict()
        self._groups: Groups[Event, Acceptance] = Groups(self._accept_together)

    async def publish(
        self, body: bytes, *, realm: Realm, now: datetime, session: AsyncSession | None = None
    ) -> Published:
        """Accept the events of an HTTP body, all or none: at once, or within the transaction of ``session``.

        Raises InvalidEvent, UnknownEventType, PayloadTooLarge or TooManyDeliveries for what stands in it, ServiceUnavailable to
        try again.
        """
        try:
            events = parse_published(body, realm=realm, now=now)
            if session is not None:
                connection = await session.connection()
                acceptance = await self._accept_on(connection, events, owed_max=DELIVERIES_OF_A_REQUEST_MAX)
            elif self._is_small(events, realm):
                acceptance = await self._groups.join(events)
            else:
                async with self._database.autocommit() as connection:
                    acceptance = await self._accept_on(connection, events, owed_max=DELIVERIES_OF_A_REQUEST_MAX)
            return Published(acceptance=acceptance, ids=[event.event_id for event in events])
        except InvalidEventError as exc:
            raise refusal_of(exc) from exc
        except RealmKeepsChangingError as exc:
            raise ServiceUnavailable from exc

    async def wanted_in_order(self, events: Sequence[Event]) -> Sequence[bool]:
        """Tell for each event whether a webhook wants it in order, as far as is remembered; ``accept`` knows for certain."""
        if not events:
            return ()
        async with self._database.autocommit() as connection:
            webhooks = await self._webhooks_of(connection, events)
        return [webhooks[event.realm].orders(event) for event in events]

    async def accept(self, events: Sequence[Event], *, in_turn: bool) -> Acceptance:
        """Commit the new ones of ``events`` with their deliveries; when this returns they are durable.

        ``in_turn``: all that was published before them is accepted. They are cut into parts that owe few enough deliveries for
        one statement. Raises NotInTurnError, and what the database raises; some parts were accepted then, or all (a lost
        connection at the commit): sending the same events again is harmless as long as they carry ids.
        """
        done: list[Acceptance] = []
        async with self._database.autocommit() as connection:
            webhooks = await self._webhooks_of(connection, events)
            weights = [len(webhooks[event.realm].matching(event.type)) for event in events]
            for part in parts(events, weights, weight_max=DELIVERIES_AT_ONCE):
                done.append(await self._accept_on(connection, part, in_turn=in_turn))  # noqa: PERF401 - one by one
        return Acceptance(
            accepted=sum(item.accepted for item in done),
            duplicates=sum(item.duplicates for item in done),
            webhooks=list({webhook: None for item in done for webhook in item.webhooks}),
        )

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
            done = await self._accept_events(
                connection, [event for body in bodies for event in body], owed_max=DELIVERIES_OF_A_REQUEST_MAX
            )
        results = []
        for number, body in enumerate(bodies):
            accepted = sum(event.id in done.events for event in body)
            webhooks = () if number else done.webhooks
            results.append(Acceptance(accepted=accepted, duplicates=len(body) - accepted, webhooks=webhooks))
        return results

    async def _accept_on(
        self, connection: AsyncConnection, events: Sequence[Event], *, owed_max: int | None = None, in_turn: bool = True
    ) -> Acceptance:
        done = await self._accept_events(connection, events, owed_max=owed_max, in_turn=in_turn)
        accepted = len(done.events)
        return Acceptance(accepted=accepted, duplicates=len(events) - accepted, webhooks=done.webhooks)

    async def _accept_events(
        self, connection: AsyncConnection, events: Sequence[Event], *, owed_max: int | None, in_turn: bool = True
    ) -> repository.Accepted:
        unique = list({(event.realm, event.event_id): event for event in reversed(events)}.values())[::-1]
        for attempt in range(_PLANS_MAX):
            webhooks = await self._webhooks_of(connection, unique, afresh=attempt > 0)
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
                return done
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
