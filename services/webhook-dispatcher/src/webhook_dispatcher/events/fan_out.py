"""Which deliveries an event owes. Pure."""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.event_types.realm_type import RealmTypeRef
from webhook_dispatcher.events.event import Event
from webhook_dispatcher.webhooks import selectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What fan-out needs to know of a webhook."""

    webhook_id: UUID
    events: Sequence[str]
    trigger: Literal["first", "every"]
    ordered: bool = False


@dataclass(slots=True, kw_only=True)
class RealmWebhooks:
    """A realm's webhooks as of a revision, with the answer per event type remembered."""

    revision: int
    subscriptions: Sequence[Subscription]
    own_types: Mapping[str, RealmTypeRef] | None = None
    """The realm's own event types by name; None until an event of one came."""
    _by_type: dict[str, list[Subscription]] = field(default_factory=dict)
    _has_ordered: bool = field(init=False)

    def __post_init__(self) -> None:
        self._has_ordered = any(item.ordered for item in self.subscriptions)

    def matching(self, event_type: str) -> list[Subscription]:
        """Return the webhooks that select an event type."""
        matching = self._by_type.get(event_type)
        if matching is None:
            matching = [item for item in self.subscriptions if selectors.selects_any(item.events, event_type)]
            self._by_type[event_type] = matching
        return matching

    def orders(self, event: Event) -> bool:
        """Tell whether any of them wants this event in order."""
        return (
            self._has_ordered
            and _order_key(event) is not None
            and any(item.ordered for item in self.matching(event.type))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A delivery that is owed if its event is new, and, with ``first``, if none was made for the request before."""

    id: UUID
    webhook_id: UUID
    event: Event
    first: bool
    order_key: str | None
    """It waits for the deliveries to the same webhook that were accepted before it with the same key."""


def plan(event: Event, webhooks: RealmWebhooks) -> Iterable[Candidate]:
    """Return the deliveries that an event owes.

    ``trigger: first`` applies to decisions about requests alone; everything else always sends every match.
    """
    once = catalogue.decides_request(event.type)
    for subscription in webhooks.matching(event.type):
        yield Candidate(
            id=delivery_id_of(event.id),
            webhook_id=subscription.webhook_id,
            event=event,
            first=once and subscription.trigger == "first",
            order_key=_order_key(event) if subscription.ordered else None,
        )


def parts(events: Sequence[Event], weights: Sequence[int], *, weight_max: int) -> Iterator[Sequence[Event]]:
    """Cut events into runs that weigh at most ``weight_max`` together, or are one event that weighs more by itself."""
    start, total = 0, 0
    for index, weight in enumerate(weights):
        total += weight
        if total > weight_max and index > start:
            yield events[start:index]
            start, total = index, weight
    if events:
        yield events[start:]


def _order_key(event: Event) -> str | None:
    """Return within what an event is kept in order: its ordering key, else its subject. One without either has no order."""
    return event.ordering_key if event.ordering_key is not None else event.subject


def delivery_id_of(event: UUID) -> UUID:
    """Return a new delivery id (UUIDv7) that shares its leading 64 bits with its event's.

    So an event's deliveries stand side by side in the primary key, and need no index of their own; and they fall into the
    same day's partition as the event.
    """
    return UUID(int=(event.int >> 64 << 64) | (0b10 << 62) | secrets.randbits(62))
