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
from webhook_dispatcher.events.errors import refusal_of
from webhook_dispatcher.events.event import Event, InvalidEventError, parse_published
from webhook_dispatcher.events.fan_out import RealmWebhooks, plan

_REALMS_MAX = 10_000
_PLANS_MAX = 20


class RealmKeepsChangingError(Exception):
    """The webhooks of a realm changed again and again while events were being planned; try later."""


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

    async def publish(
        self, body: bytes, *, realm: Realm, now: datetime, session: AsyncSession | None = None
    ) -> Published:
        """Accept the events of an HTTP body, all or none: at once, or within the transaction of ``session``.

        Raises InvalidEvent, UnknownEventType or PayloadTooLarge for what stands in it, ServiceUnavailable to try again.
        """
        try:
            events = parse_published(body, realm=realm, now=now)
            if session is None:
                acceptance = await self.accept(events)
            else:
                acceptance = await self._accept_on(await session.connection(), events)
            return Published(acceptance=acceptance, ids=[event.event_id for event in events])
        except InvalidEventError as exc:
            raise refusal_of(exc) from exc
        except RealmKeepsChangingError as exc:
            raise ServiceUnavailable from exc

    async def accept(self, events: Sequence[Event]) -> Acceptance:
        """Commit the new ones of ``events`` with their deliveries. When this returns they are durable.

        Raises what the database raises; nothing of the batch was accepted then, or all of it (a lost connection at the
        commit): sending the same events again is harmless as long as they carry ids.
        """
        async with self._database.autocommit() as connection:
            return await self._accept_on(connection, events)

    async def _accept_on(self, connection: AsyncConnection, events: Sequence[Event]) -> Acceptance:
        unique = list({(event.realm, event.event_id): event for event in reversed(events)}.values())[::-1]
        realms = {event.realm for event in unique}
        for attempt in range(_PLANS_MAX):
            for realm in realms:
                if realm not in self._realms or attempt:
                    self._remember(realm, await repository.load_realm(connection, realm))
            webhooks = {realm: self._realms[realm] for realm in realms}
            done = await repository.accept(
                connection,
                events=unique,
                candidates=[item for event in unique for item in plan(event, webhooks[event.realm])],
                revisions={realm: known.revision for realm, known in webhooks.items()},
            )
            if done is not None:
                accepted = len(done.events)
                return Acceptance(accepted=accepted, duplicates=len(events) - accepted, webhooks=done.webhooks)
        raise RealmKeepsChangingError

    def _remember(self, realm: Realm, webhooks: RealmWebhooks) -> None:
        self._realms[realm] = webhooks
        self._realms.move_to_end(realm)
        while len(self._realms) > _REALMS_MAX:
            self._realms.popitem(last=False)
