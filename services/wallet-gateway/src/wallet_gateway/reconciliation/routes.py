"""HTTP of reconciliation."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from shared.access import Caller, require
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.pagination import Page, page_of
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute
from wallet_gateway.external_wallets.errors import WalletDisabled
from wallet_gateway.reconciliation import repository, schemas, service
from wallet_gateway.reconciliation.errors import BreakResolved, FeedNotOffered, TooManyReconciliations
from wallet_gateway.reconciliation.models import KnownBreak, Run

router = APIRouter(prefix="/v1/reconciliations", tags=["reconciliations"], route_class=StrictRoute)

Reader = Annotated[Caller, require("transfers:read")]
Resolver = Annotated[Caller, require("transfers:resolve")]


@router.post(
    "",
    status_code=201,
    response_model=schemas.ReconciliationOut,
    responses=problem_responses(
        NotFound, WalletDisabled, FeedNotOffered, TooManyReconciliations, IdempotencyInProgress, IdempotencyMismatch
    ),
    summary="Compare with a wallet's feed",
)
async def start_reconciliation(
    body: schemas.ReconciliationIn, caller: Resolver, session: Transaction, idempotency_key: OptionalIdempotencyKey
) -> Response:
    """Compare our steps of a time with the wallet's own records, both ways. It runs on in the background."""

    async def start() -> schemas.ReconciliationOut:
        return _shown(await service.start(session, caller, body))

    return await answer_once(session, realm=caller.realm, key=idempotency_key, create=start, seen_with="transfers:read")


@router.get("", responses=problem_responses(), summary="List reconciliations")
async def list_reconciliations(
    caller: Reader, session: Transaction, query: Annotated[schemas.ReconciliationListQuery, Query()]
) -> Page[schemas.ReconciliationOut]:
    rows = await repository.find_page(
        session,
        realm=caller.realm,
        wallet_id=query.external_wallet_id,
        status=query.status,
        after=query.position,
        limit=query.limit + 1,
    )
    return page_of(rows, limit=query.limit, position=lambda run: run.id, item=_shown)


@router.get("/{reconciliation_id}", responses=problem_responses(NotFound), summary="Show a reconciliation")
async def get_reconciliation(
    reconciliation_id: schemas.ReconciliationIdInPath, caller: Reader, session: Transaction
) -> schemas.ReconciliationWithBreaksOut:
    """With the breaks it found, resolved ones included."""
    run, breaks = await service.get(session, caller.realm, reconciliation_id)
    shown = [_shown_break(found) for found in breaks]
    return schemas.ReconciliationWithBreaksOut(**_shown(run).model_dump(by_alias=False), breaks=shown)


@router.post(
    "/{reconciliation_id}/breaks/{break_id}/resolve",
    responses=problem_responses(NotFound, BreakResolved),
    summary="Resolve a break",
)
async def resolve_break(
    reconciliation_id: schemas.ReconciliationIdInPath,
    break_id: schemas.BreakIdInPath,
    body: schemas.ResolveBreakIn,
    caller: Resolver,
    session: Transaction,
) -> schemas.BreakOut:
    """Note what became of it. The same difference is not found again; another one of the same step is."""
    resolved = await service.resolve_break(
        session, caller, run_id=reconciliation_id, break_id=break_id, evidence=body.evidence
    )
    return _shown_break(resolved)


def _shown(run: Run) -> schemas.ReconciliationOut:
    return schemas.ReconciliationOut(
        id=run.id,
        external_wallet_id=run.wallet_id,
        status=run.status,
        scheduled=run.is_scheduled,
        from_=run.from_at,
        to=run.to_at,
        steps_compared=run.steps_compared,
        waits_for=run.waits_for,
        created_at=run.created_at,
        created_by=run.created_by,
        finished_at=run.finished_at,
    )


def _shown_break(found: KnownBreak) -> schemas.BreakOut:
    return schemas.BreakOut(**{name: getattr(found, name) for name in schemas.BreakOut.model_fields})
