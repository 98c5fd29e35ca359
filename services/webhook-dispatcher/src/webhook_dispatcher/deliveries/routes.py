"""HTTP of deliveries: history, resend, cancel, ledger."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from shared import typeids
from shared.access import Caller, require
from shared.database import Transaction
from shared.pagination import Page, encode_cursor
from shared.problems import NotFound, problem_responses
from shared.request_body import StrictRoute
from webhook_dispatcher.deliveries import repository, schemas, service
from webhook_dispatcher.deliveries.errors import (
    DeliveryInFlight,
    DeliveryNotCancellable,
    DeliveryWaitsInOrder,
    DeliveryWebhookDeleted,
    PayloadRedacted,
)
from webhook_dispatcher.deliveries.repository import Attempt, Delivery
from webhook_dispatcher.resources import ApiResources, api_resources
from webhook_dispatcher.webhooks.errors import WebhookDisabled

router = APIRouter(prefix="/v1/deliveries", tags=["deliveries"], route_class=StrictRoute)
ledger_router = APIRouter(prefix="/v1/ledger", tags=["deliveries"], route_class=StrictRoute)

Reader = Annotated[Caller, require("deliveries:read")]
Resender = Annotated[Caller, require("deliveries:resend")]
Resources = Annotated[ApiResources, Depends(api_resources)]


@router.get("", responses=problem_responses(), summary="List deliveries")
async def list_deliveries(
    caller: Reader, session: Transaction, query: Annotated[schemas.DeliveryListQuery, Query()]
) -> Page[schemas.DeliveryOut]:
    """Newest first. Each page looks at a few thousand deliveries: it may hold fewer than `limit`, or none, and still name a next.

    While `next_cursor` is not null there is more to look through.
    """
    found = await service.search(
        session, caller.realm, filters=_filters(query), before=query.position, limit=query.limit
    )
    cursor = None if found.reach is None else encode_cursor(found.reach)
    return Page(data=[shown_delivery(item) for item in found.deliveries], next_cursor=cursor)


@router.get("/{delivery_id}", responses=problem_responses(NotFound), summary="Show a delivery with every attempt")
async def get_delivery(
    delivery_id: schemas.DeliveryIdInPath, caller: Reader, session: Transaction
) -> schemas.DeliveryWithAttemptsOut:
    delivery, attempts = await service.show(session, caller.realm, delivery_id)
    return schemas.DeliveryWithAttemptsOut(
        **shown_delivery(delivery).model_dump(),
        attempt_log=[_shown_attempt(delivery, attempt) for attempt in attempts],
    )


@router.post(
    "/{delivery_id}/resend",
    status_code=202,
    responses=problem_responses(
        *(NotFound, WebhookDisabled, DeliveryInFlight, DeliveryWaitsInOrder, DeliveryWebhookDeleted, PayloadRedacted)
    ),
    summary="Send a delivery again",
)
async def resend_delivery(
    delivery_id: schemas.DeliveryIdInPath, caller: Resender, session: Transaction, resources: Resources
) -> schemas.DeliveryOut:
    """At once, with the same `webhook-id`, so that a receiver recognises what it has processed. The schedule starts anew."""
    delivery = await service.resend(session, caller, delivery_id)
    resources.wake_after_commit(session, [delivery.webhook_id])
    return shown_delivery(delivery)


@router.post(
    "/{delivery_id}/cancel",
    responses=problem_responses(NotFound, DeliveryNotCancellable),
    summary="Cancel a pending or held delivery",
)
async def cancel_delivery(
    delivery_id: schemas.DeliveryIdInPath, caller: Resender, session: Transaction
) -> schemas.DeliveryOut:
    return shown_delivery(await service.cancel(session, caller, delivery_id))


@ledger_router.get("", responses=problem_responses(), summary="The conservation ledger")
async def show_ledger(
    caller: Reader, session: Transaction, query: Annotated[schemas.LedgerQuery, Query()]
) -> schemas.LedgerOut:
    """Count both sides in one snapshot: what accepted events owe, and what became of it."""
    counts = await repository.count_ledger(
        session, realm=caller.realm, webhook_id=query.webhook_id, since=query.from_, until=query.to
    )
    return service.balance(counts)


def _filters(query: schemas.DeliveryListQuery) -> Mapping[str, Any]:
    return {
        "webhook_id": query.webhook_id,
        "status": query.status,
        "event_type": query.event_type,
        "event_id": query.event_id,
        "subject": query.subject,
        "from": query.from_,
        "to": query.to,
        "q": query.q,
    }


def shown_delivery(delivery: Delivery) -> schemas.DeliveryOut:
    """Return the wire shape of a delivery."""
    return schemas.DeliveryOut(
        id=delivery.id,
        webhook_id=delivery.webhook_id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        subject=delivery.subject,
        status=delivery.status,
        attempts=delivery.attempts,
        next_attempt_at=delivery.next_attempt_at,
        finished_at=delivery.finished_at,
        last_response_status=delivery.last_status,
        last_error_code=delivery.last_error,
        environment=delivery.environment,
        test=delivery.test,
        created_at=typeids.created_at(delivery.id),
    )


def _shown_attempt(delivery: Delivery, attempt: Attempt) -> schemas.AttemptOut:
    request = response = None
    if attempt.url is not None:
        request = schemas.RequestOut(
            url=attempt.url,
            headers=_pairs(attempt.request_headers),
            body=(attempt.request_body or delivery.payload).decode(),
        )
    if attempt.response_status is not None:
        response = schemas.ResponseOut(
            status=attempt.response_status,
            headers=_pairs(attempt.response_headers),
            body=(attempt.response_body or b"").decode("utf-8", "replace"),
            truncated=attempt.response_truncated,
        )
    return schemas.AttemptOut(
        id=attempt.id,
        number=attempt.number,
        started_at=attempt.started_at,
        duration_ms=attempt.duration_ms,
        outcome=attempt.outcome,
        error_code=attempt.error_code,
        request=request,
        response=response,
    )


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers or ()]
