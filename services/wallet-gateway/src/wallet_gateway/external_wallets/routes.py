"""HTTP of external wallets. The home wallet is reached by its id as well; only the list leaves it out."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from shared.access import Caller, require
from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.pagination import Page, page_of
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute
from wallet_gateway.external_wallets import repository, schemas
from wallet_gateway.external_wallets.errors import (
    ApiKeyMalformed,
    BaseUrlNotAllowed,
    OperationNotSupported,
    TooManyKeys,
    WalletInUse,
    WalletLimitReached,
    WalletNotFrozen,
    WalletRegisteredTwice,
    WalletUnavailable,
)
from wallet_gateway.external_wallets.presentation import revealed, shown, shown_fields
from wallet_gateway.resources import GatewayResources, gateway_resources

router = APIRouter(prefix="/v1/external-wallets", tags=["external wallets"], route_class=StrictRoute)

Reader = Annotated[Caller, require("external_wallets:read")]
Updater = Annotated[Caller, require("external_wallets:update")]
Revealer = Annotated[Caller, require("external_wallets:reveal")]
Anybody = Annotated[Caller, require(None)]
Resources = Annotated[GatewayResources, Depends(gateway_resources)]

NO_STORE = {"Cache-Control": "no-store"}
KEPT: dict[str, Any] = {"secret_fields": frozenset({"api_key"}), "seen_with": "external_wallets:read"}
"""How an answer with a key is given again: without it, and to whom may see the wallet."""
_NO_PAYMENTS = problem_responses(OperationNotSupported)
_ANY_JSON = {"schema": {"type": "object"}, "example": {"amount": "100.00", "currency": "USD"}}
_ANY_BODY = {"requestBody": {"required": False, "content": {"application/json": _ANY_JSON}}}


@router.post(
    "",
    status_code=201,
    response_model=schemas.WalletCreated,
    responses=problem_responses(
        *(BaseUrlNotAllowed, ApiKeyMalformed, WalletLimitReached, WalletRegisteredTwice),
        *(IdempotencyInProgress, IdempotencyMismatch),
    ),
    summary="Register an external wallet",
)
async def create_wallet(
    body: schemas.WalletIn,
    caller: Updater,
    session: Transaction,
    resources: Resources,
    idempotency_key: OptionalIdempotencyKey,
) -> Response:
    """Return the API key with it, and the id that signatures name it by; `api-key/reveal` shows it again.

    With `crm-v1` the answer carries warnings: that protocol's signatures are weak, and its transfers cannot be repeated safely.
    """

    async def create() -> schemas.WalletCreated:
        wallet, key = await resources.external_wallets.create(session, caller, body)
        return schemas.WalletCreated(**shown_fields(wallet), api_key=key)

    return await answer_once(session, realm=caller.realm, key=idempotency_key, create=create, **KEPT)


@router.get("", responses=problem_responses(), summary="List external wallets")
async def list_wallets(
    caller: Reader, session: Transaction, query: Annotated[schemas.WalletListQuery, Query()]
) -> Page[schemas.WalletOut]:
    rows = await repository.find_page(
        session, realm=caller.realm, enabled=query.enabled, q=query.q, after=query.position, limit=query.limit + 1
    )
    return page_of(rows, limit=query.limit, position=lambda wallet: wallet.id, item=shown)


@router.get("/{wallet_id}", responses=problem_responses(NotFound), summary="Show a wallet")
async def get_wallet(
    wallet_id: schemas.WalletIdInPath, caller: Reader, session: Transaction, resources: Resources
) -> schemas.WalletOut:
    return shown(await resources.external_wallets.get(session, caller.realm, wallet_id))


@router.patch(
    "/{wallet_id}",
    responses=problem_responses(NotFound, BaseUrlNotAllowed, WalletRegisteredTwice),
    summary="Change a wallet",
)
async def change_wallet(
    wallet_id: schemas.WalletIdInPath,
    body: schemas.WalletPatch,
    caller: Updater,
    session: Transaction,
    resources: Resources,
) -> schemas.WalletOut:
    """Only the fields that are sent change. Steps of transfers under way are resolved where they began."""
    return shown(await resources.external_wallets.change(session, caller, wallet_id, body))


@router.delete(
    "/{wallet_id}", status_code=204, responses=problem_responses(NotFound, WalletInUse), summary="Delete a wallet"
)
async def delete_wallet(
    wallet_id: schemas.WalletIdInPath, caller: Updater, session: Transaction, resources: Resources
) -> None:
    """Refused while transfers with it are under way. Its keys go for good; what was transferred stays in the history."""
    await resources.external_wallets.delete(session, caller, wallet_id)


@router.post("/{wallet_id}/enable", responses=problem_responses(NotFound), summary="Enable a wallet")
async def enable_wallet(
    wallet_id: schemas.WalletIdInPath, caller: Updater, session: Transaction, resources: Resources
) -> schemas.WalletOut:
    return shown(await resources.external_wallets.enable(session, caller, wallet_id))


@router.post("/{wallet_id}/disable", responses=problem_responses(NotFound), summary="Disable a wallet")
async def disable_wallet(
    wallet_id: schemas.WalletIdInPath, caller: Updater, session: Transaction, resources: Resources
) -> schemas.WalletOut:
    """Balances and new transfers are refused from now on; transfers under way are brought to their end."""
    return shown(await resources.external_wallets.disable(session, caller, wallet_id))


@router.post(
    "/{wallet_id}/unfreeze", responses=problem_responses(NotFound, WalletNotFrozen), summary="Let transfers begin again"
)
async def unfreeze_wallet(
    wallet_id: schemas.WalletIdInPath,
    body: schemas.UnfreezeIn,
    caller: Updater,
    session: Transaction,
    resources: Resources,
) -> schemas.WalletOut:
    """After a look at why it was frozen; the evidence is kept in the audit log."""
    return shown(await resources.external_wallets.unfreeze(session, caller, wallet_id, body.evidence))


@router.post("/{wallet_id}/api-key/reveal", responses=problem_responses(NotFound), summary="Show the API key")
async def reveal_key(
    wallet_id: schemas.WalletIdInPath,
    caller: Revealer,
    session: Transaction,
    resources: Resources,
    response: Response,
) -> schemas.ApiKeyOut:
    """Audited."""
    response.headers.update(NO_STORE)
    return revealed(await resources.external_wallets.reveal_key(session, caller, wallet_id))


@router.post(
    "/{wallet_id}/api-key/rotate",
    response_model=schemas.ApiKeyOut,
    responses=problem_responses(
        NotFound, ApiKeyMalformed, TooManyKeys, WalletRegisteredTwice, IdempotencyInProgress, IdempotencyMismatch
    ),
    summary="Replace the API key",
)
async def rotate_key(
    wallet_id: schemas.WalletIdInPath,
    caller: Updater,
    session: Transaction,
    resources: Resources,
    idempotency_key: OptionalIdempotencyKey,
    body: schemas.RotateKeyIn | None = None,
) -> Response:
    """Send both signatures during the overlap (24 h by default), the new one first."""

    async def rotate() -> schemas.ApiKeyOut:
        wanted = body or schemas.RotateKeyIn()
        return revealed(await resources.external_wallets.rotate_key(session, caller, wallet_id, wanted))

    return await answer_once(session, realm=caller.realm, key=idempotency_key, create=rotate, status=200, **KEPT)


@router.post(
    "/{wallet_id}/test-connection",
    responses=problem_responses(NotFound, WalletUnavailable),
    summary="Test the connection",
)
async def test_connection(
    wallet_id: schemas.WalletIdInPath, caller: Updater, resources: Resources
) -> schemas.ConnectionTestOut:
    """Asks the wallet, moves nothing: address, TLS, signature, clock, and what it can do, which is kept."""
    return await resources.connection_tests.run(caller, wallet_id)


_NOT_SUPPORTED: dict[str, Any] = {
    "status_code": 409,
    "response_class": Response,
    "responses": _NO_PAYMENTS,
    "openapi_extra": _ANY_BODY,
    "summary": "Not supported",
}


@router.post("/{wallet_id}/deposits", **_NOT_SUPPORTED)
@router.post("/{wallet_id}/withdrawals", **_NOT_SUPPORTED)
async def move_through_payment_provider(
    _wallet: Annotated[schemas.WalletIdInPath, Path(alias="wallet_id")], _caller: Anybody
) -> None:
    """Payment providers do not know external wallets. The same for every id, and the body is not looked at."""
    raise OperationNotSupported
