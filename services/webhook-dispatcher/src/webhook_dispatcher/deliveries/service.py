"""Rules of deliveries as callers act on them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared import typeids
from shared.access import Caller, Realm
from shared.problems import NotFound
from webhook_dispatcher.audit import repository as audit
from webhook_dispatcher.deliveries import repository, search_repository
from webhook_dispatcher.deliveries.errors import (
    DeliveryInFlight,
    DeliveryNotCancellable,
    DeliveryWaitsInOrder,
    DeliveryWebhookDeleted,
    PayloadRedacted,
)
from webhook_dispatcher.deliveries.repository import Attempt, Delivery, LedgerCounts
from webhook_dispatcher.deliveries.schemas import LedgerOut
from webhook_dispatcher.deliveries.search_repository import Found
from webhook_dispatcher.events import repository as events
from webhook_dispatcher.webhooks import repository as webhooks
from webhook_dispatcher.webhooks.errors import WebhookDisabled


async def show(session: AsyncSession, realm: Realm, delivery_id: UUID) -> tuple[Delivery, Sequence[Attempt]]:
    """Return a delivery with its attempts; raises NotFound."""
    delivery = await _find(session, realm, delivery_id)
    return delivery, await repository.find_attempts(session, delivery_id=delivery_id)


async def search(
    session: AsyncSession, realm: Realm, *, filters: Mapping[str, Any], before: UUID | None, limit: int
) -> Found:
    """Return a page of deliveries; ``reach`` is where the next one goes on, None at the end.

    ``q`` that is a complete id of an event or a delivery finds just that, however old it is.
    """
    narrowed = dict(filters)
    event_id, q = narrowed.pop("event_id"), narrowed.get("q")
    if event_id is not None:
        narrowed["event"] = await events.find_row_id(session, realm=realm, event_id=event_id) or typeids.NO_ID
    if q is not None and (delivery_id := _delivery_id(q)) is not None:
        narrowed |= {"q": None, "delivery": delivery_id}
    elif q is not None and event_id is None:
        event = await events.find_row_id(session, realm=realm, event_id=q)
        narrowed |= {"q": None, "event": event} if event else {}
    found = await search_repository.find_page(session, realm=realm, filters=narrowed, before=before, limit=limit + 1)
    if len(found.deliveries) <= limit:
        return found
    shown = found.deliveries[:limit]
    return Found(deliveries=shown, reach=shown[-1].id)


def _delivery_id(text: str) -> UUID | None:
    try:
        return typeids.decode("dlv", text)
    except typeids.MalformedIdError:
        return None


async def resend(session: AsyncSession, caller: Caller, delivery_id: UUID) -> Delivery:
    """Make a delivery due now.

    Raises NotFound, WebhookDisabled, DeliveryInFlight, DeliveryWaitsInOrder, DeliveryWebhookDeleted, PayloadRedacted.
    """
    delivery = await _find(session, caller.realm, delivery_id)
    webhook = await webhooks.find(session, realm=caller.realm, webhook_id=delivery.webhook_id, for_update=True)
    if webhook is None:
        raise DeliveryWebhookDeleted
    if webhook.status == "disabled":
        raise WebhookDisabled
    if await repository.is_redacted(session, delivery_id=delivery_id):
        raise PayloadRedacted
    if not await repository.send_again(session, delivery_id=delivery_id):
        raise (
            DeliveryWaitsInOrder if await repository.is_blocked(session, delivery_id=delivery_id) else DeliveryInFlight
        )
    await webhooks.hasten_probe(session, webhook_id=webhook.id)
    await _audit(session, caller, "delivery.resent", delivery)
    return await _find(session, caller.realm, delivery_id)


async def cancel(session: AsyncSession, caller: Caller, delivery_id: UUID) -> Delivery:
    """Cancel a pending or held delivery; raises NotFound, DeliveryNotCancellable."""
    delivery = await _find(session, caller.realm, delivery_id)
    if not await repository.cancel(session, delivery_id=delivery_id):
        raise DeliveryNotCancellable
    await _audit(session, caller, "delivery.cancelled", delivery)
    return await _find(session, caller.realm, delivery_id)


def balance(counts: LedgerCounts) -> LedgerOut:
    """Return the ledger with its verdict."""
    pending = counts.pending + counts.in_flight
    outcome = counts.delivered + pending + counts.held + counts.failed + counts.cancelled
    return LedgerOut(
        accepted=counts.events,
        matched=counts.owed,
        delivered=counts.delivered,
        pending=pending,
        held=counts.held,
        failed=counts.failed,
        cancelled=counts.cancelled,
        in_flight=counts.in_flight,
        balanced=counts.owed == outcome,
    )


async def _find(session: AsyncSession, realm: Realm, delivery_id: UUID) -> Delivery:
    delivery = await repository.find(session, realm=realm, delivery_id=delivery_id)
    if delivery is None:
        raise NotFound
    return delivery


async def _audit(session: AsyncSession, caller: Caller, action: str, delivery: Delivery) -> None:
    await audit.record(
        session,
        caller,
        action=action,
        target=typeids.encode("dlv", delivery.id),
        changes={"webhook_id": typeids.encode("wh", delivery.webhook_id), "event_id": delivery.event_id},
    )
