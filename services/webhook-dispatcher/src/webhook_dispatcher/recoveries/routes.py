"""HTTP of recoveries."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from shared.access import Caller, require
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.pagination import Page, page_of
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute
from webhook_dispatcher.recoveries import repository, schemas, service
from webhook_dispatcher.recoveries.errors import RecoveryEnded, RecoveryLimitReached
from webhook_dispatcher.recoveries.repository import Recovery, Selection
from webhook_dispatcher.webhooks.errors import WebhookDisabled
from webhook_dispatcher.webhooks.schemas import WebhookIdInPath

webhook_router = APIRouter(prefix="/v1/webhooks", tags=["recoveries"], route_class=StrictRoute)
router = APIRouter(prefix="/v1/recoveries", tags=["recoveries"], route_class=StrictRoute)

Reader = Annotated[Caller, require("deliveries:resend")]
Resender = Annotated[Caller, require("deliveries:resend")]


@webhook_router.post(
    "/{webhook_id}/recover",
    status_code=202,
    response_model=schemas.RecoveryOut,
    responses={
        200: {"model": schemas.RecoveryPreviewOut, "description": "With `dry_run`: what would be sent again"},
        **problem_responses(
            NotFound, WebhookDisabled, RecoveryLimitReached, IdempotencyInProgress, IdempotencyMismatch
        ),
    },
    summary="Send many ended deliveries again",
)
async def recover_webhook(
    webhook_id: WebhookIdInPath,
    body: schemas.RecoverIn,
    caller: Resender,
    session: Transaction,
    idempotency_key: OptionalIdempotencyKey,
) -> Response:
    """Oldest first, with the same `webhook-id`, at a pace that leaves room for what is new; goes on whatever process ends.

    A delivery is sent again at most once by one recovery. `dry_run` counts and does nothing, also for a disabled webhook.
    """
    selection = service.selection_of(body, webhook_id, now=datetime.now(UTC))
    make, status = (_preview, 200) if body.dry_run else (_start, 202)
    create = partial(make, session, caller, selection)
    return await answer_once(session, realm=caller.realm, key=idempotency_key, create=create, status=status)


@router.get("", responses=problem_responses(), summary="List recoveries")
async def list_recoveries(
    caller: Reader, session: Transaction, query: Annotated[schemas.RecoveryListQuery, Query()]
) -> Page[schemas.RecoveryOut]:
    rows = await repository.find_page(
        session, realm=caller.realm, webhook_id=query.webhook_id, before=query.position, limit=query.limit + 1
    )
    return page_of(rows, limit=query.limit, position=lambda recovery: recovery.id, item=_shown)


@router.get("/{recovery_id}", responses=problem_responses(NotFound), summary="Show how far a recovery came")
async def get_recovery(
    recovery_id: schemas.RecoveryIdInPath, caller: Reader, session: Transaction
) -> schemas.RecoveryOut:
    return _shown(await service.get(session, caller.realm, recovery_id))


@router.delete("/{recovery_id}", responses=problem_responses(NotFound, RecoveryEnded), summary="Cancel a recovery")
async def cancel_recovery(
    recovery_id: schemas.RecoveryIdInPath, caller: Resender, session: Transaction
) -> schemas.RecoveryOut:
    """Nothing more is sent again once this has answered; what was made pending already stays so."""
    return _shown(await service.cancel(session, caller, recovery_id))


async def _start(session: AsyncSession, caller: Caller, selection: Selection) -> BaseModel:
    return _shown(await service.start(session, caller, selection))


async def _preview(session: AsyncSession, caller: Caller, selection: Selection) -> BaseModel:
    matches = await service.preview(session, caller.realm, selection)
    return schemas.RecoveryPreviewOut(
        webhook_id=selection.webhook_id,
        selection=_shown_selection(selection),
        matched=matches.sendable,
        matched_is_minimum=matches.is_minimum,
        skipped=matches.redacted,
    )


def _shown(recovery: Recovery) -> schemas.RecoveryOut:
    same = schemas.RecoveryOut.model_fields.keys() - {"selection"}
    return schemas.RecoveryOut(**{name: getattr(recovery, name) for name in same}, selection=_shown_selection(recovery))


def _shown_selection(selection: Selection | Recovery) -> schemas.SelectionOut:
    return schemas.SelectionOut(
        from_=selection.since,
        to=selection.until,
        status=list(selection.statuses),
        event_types=None if selection.event_types is None else list(selection.event_types),
    )
