"""HTTP of transfers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from shared.access import Caller, require
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey
from shared.pagination import Page, page_of
from shared.problems import IdempotencyMismatch, NotFound, problem_responses
from wallet_gateway.external_wallets.errors import RetentionTooShort, WalletDisabled, WalletFrozen, WalletUnavailable
from wallet_gateway.resources import GatewayResources, gateway_resources
from wallet_gateway.transfers import repository, schemas
from wallet_gateway.transfers.errors import (
    IdempotencyKeyRequired,
    NotInReview,
    ProtocolCannotTransfer,
    SameWallet,
    UnknownWallet,
)
from wallet_gateway.transfers.presentation import shown
from wallet_gateway.transfers.quick_route import CREATOR, BeginningRoute

router = APIRouter(prefix="/v1/transfers", tags=["transfers"], route_class=BeginningRoute)

Creator = Annotated[Caller, CREATOR]
Reader = Annotated[Caller, require("transfers:read")]
Resolver = Annotated[Caller, require("transfers:resolve")]
Resources = Annotated[GatewayResources, Depends(gateway_resources)]

_CREATE_PROBLEMS = (
    *(IdempotencyKeyRequired, IdempotencyMismatch, SameWallet, UnknownWallet, ProtocolCannotTransfer),
    *(WalletDisabled, WalletFrozen, RetentionTooShort, WalletUnavailable),
)


@router.post(
    "",
    status_code=201,
    response_model=schemas.TransferOut,
    responses=problem_responses(*_CREATE_PROBLEMS),
    summary="Begin a transfer",
)
async def create_transfer(
    body: schemas.TransferIn,
    caller: Creator,
    resources: Resources,
    idempotency_key: OptionalIdempotencyKey,
    query: Annotated[schemas.WaitQuery, Query()],
) -> Response:
    """Needs an `Idempotency-Key`, which is remembered for ever: the same request again gets the first answer again.

    With `wait_ms` the answer shows the final state if it comes in time; otherwise `GET` shows how it goes on. A repeated request
    is told what the first was told: after one that did not wait, `pending`, however the transfer stands by now. Where another
    credential sent the first, that takes `transfers:read`.
    """
    answer = await resources.transfers.create(caller, body, key=idempotency_key, wait_ms=query.wait_ms)
    headers = {"Idempotency-Replayed": "true"} if answer.is_repeated else {}
    return Response(answer.body, status_code=201, media_type="application/json", headers=headers)


@router.get("", responses=problem_responses(), summary="List transfers")
async def list_transfers(
    caller: Reader, session: Transaction, query: Annotated[schemas.TransferListQuery, Query()]
) -> Page[schemas.TransferOut]:
    """Newest first; `GET` of one shows its timeline."""
    rows = await repository.find_page(
        session, realm=caller.realm, wanted=query.as_filter(), after=query.position, limit=query.limit + 1
    )
    return page_of(rows, limit=query.limit, position=lambda transfer: transfer.id, item=shown)


@router.get("/{transfer_id}", responses=problem_responses(NotFound), summary="Show a transfer with its timeline")
async def get_transfer(
    transfer_id: schemas.TransferIdInPath, caller: Reader, session: Transaction, resources: Resources
) -> schemas.TransferWithTimelineOut:
    """Every step, every call made for it, how long it took, and digests of what was sent and answered."""
    return await resources.transfers.get(session, caller.realm, transfer_id)


@router.post(
    "/{transfer_id}/resolve", responses=problem_responses(NotFound, NotInReview), summary="Decide about a transfer"
)
async def resolve_transfer(
    transfer_id: schemas.TransferIdInPath,
    body: schemas.ResolveIn,
    caller: Resolver,
    session: Transaction,
    resources: Resources,
) -> schemas.TransferWithTimelineOut:
    """Say whether the target has its money, and by what evidence; audited. Only from `manual_review`.

    If that was the open question, the transfer goes on by itself: what is held is taken or let go, what was taken is given back
    (`reversed`). Otherwise nothing more is called: you vouch that both wallets have been put right.
    """
    await resources.review.resolve(session, caller, transfer_id, decision=body.decision, evidence=body.evidence)
    resources.transfers.wake_after_commit(session, transfer_id)
    return await resources.transfers.get(session, caller.realm, transfer_id)
