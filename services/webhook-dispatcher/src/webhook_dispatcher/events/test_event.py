"""Test events: a type's example, sent to one webhook alone and marked as a test."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller
from webhook_dispatcher.audit import repository as audit
from webhook_dispatcher.event_types import catalogue
from webhook_dispatcher.event_types import repository as event_types
from webhook_dispatcher.event_types.errors import UnknownEventType
from webhook_dispatcher.events import repository
from webhook_dispatcher.events.event import Event, make_payload
from webhook_dispatcher.events.fan_out import delivery_id_of
from webhook_dispatcher.webhooks import repository as webhooks
from webhook_dispatcher.webhooks.errors import WebhookDisabled
from webhook_dispatcher.webhooks.repository import Webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTest:
    """The event and delivery that were made."""

    event_id: str
    delivery_id: UUID


async def send_test_event(
    session: AsyncSession, caller: Caller, webhook: Webhook, *, event_type: str, now: datetime
) -> SentTest:
    """Make a test event with one delivery; raises UnknownEventType, WebhookDisabled."""
    kind = catalogue.find(event_type) or await event_types.find(session, realm=caller.realm, name=event_type)
    if kind is None:
        raise UnknownEventType([{"pointer": "/event_type", "detail": f"there is no event type {event_type!r}"}])
    if webhook.status == "disabled":
        raise WebhookDisabled
    function = catalogue.function_of(event_type)
    row_id = typeids.new_id()
    event_id = typeids.encode("evt", row_id)
    subject = f"test-{event_id[-8:]}" if function in catalogue.REQUEST_FUNCTIONS else None
    # The mark stands in the signed body: a receiver that pays must not take an example for a request.
    payload = make_payload(
        event_id=event_id,
        event_type=event_type,
        occurred_at=now,
        subject=subject,
        data=orjson.dumps(kind.example),
        test=True,
    )
    event = Event(
        id=row_id,
        realm=caller.realm,
        event_id=event_id,
        type=event_type,
        function=function,
        subject=subject,
        ordering_key=None,
        occurred_at=now,
        payload=payload,
    )
    delivery_id = delivery_id_of(row_id)
    await repository.insert_test_event(session, event=event, webhook_id=webhook.id, delivery_id=delivery_id)
    await webhooks.hasten_probe(session, webhook_id=webhook.id)
    target = typeids.encode("wh", webhook.id)
    await audit.record(session, caller, action="webhook.tested", target=target, changes={"event_id": event_id})
    return SentTest(event_id=event_id, delivery_id=delivery_id)
