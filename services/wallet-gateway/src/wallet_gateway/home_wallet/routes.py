"""HTTP of the home wallet. By its id it is reached like any wallet, at ``/v1/external-wallets/{id}``."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from shared.database import Transaction
from shared.idempotency import OptionalIdempotencyKey, answer_once
from shared.problems import IdempotencyInProgress, IdempotencyMismatch, NotFound, problem_responses
from shared.request_body import StrictRoute
from wallet_gateway.external_wallets import schemas
from wallet_gateway.external_wallets.errors import (
    ApiKeyMalformed,
    BaseUrlNotAllowed,
    TooManyKeys,
    WalletInUse,
    WalletRegisteredTwice,
    WalletUnavailable,
)
from wallet_gateway.external_wallets.presentation import revealed, shown, shown_fields
from wallet_gateway.external_wallets.routes import KEPT, NO_STORE, Reader, Revealer, Updater
from wallet_gateway.resources import GatewayResources, gateway_resources

router = APIRouter(prefix="/v1/home-wallet", tags=["home wallet"], route_class=StrictRoute)

Resources = Annotated[GatewayResources, Depends(gateway_resources)]


@router.put(
    "",
    responses={
        **problem_responses(BaseUrlNotAllowed, ApiKeyMalformed, TooManyKeys, WalletInUse, WalletRegisteredTwice),
        201: {"model": schemas.HomeWalletSet, "description": "It is new."},
    },
    summary="Set the home wallet",
)
async def put_home_wallet(
    body: schemas.HomeWalletIn, caller: Updater, session: Transaction, resources: Resources, response: Response
) -> schemas.HomeWalletSet:
    """Make it, or replace all its settings; its key stays unless another one is sent. `api_key` is shown where it was set."""
    response.headers.update(NO_STORE)
    wallet, key, is_new = await resources.home_wallet.put(session, caller, body)
    response.status_code = 201 if is_new else 200
    return schemas.HomeWalletSet(**shown_fields(wallet), api_key=key)


@router.get("", responses=problem_responses(NotFound), summary="Show the home wallet")
async def get_home_wallet(caller: Reader, session: Transaction, resources: Resources) -> schemas.WalletOut:
    return shown(await resources.external_wallets.get(session, caller.realm, "home"))


@router.post("/api-key/reveal", responses=problem_responses(NotFound), summary="Show the home wallet's API key")
async def reveal_home_key(
    caller: Revealer, session: Transaction, resources: Resources, response: Response
) -> schemas.ApiKeyOut:
    """Audited."""
    response.headers.update(NO_STORE)
    return revealed(await resources.external_wallets.reveal_key(session, caller, "home"))


@router.post(
    "/api-key/rotate",
    response_model=schemas.ApiKeyOut,
    responses=problem_responses(
        NotFound, ApiKeyMalformed, TooManyKeys, WalletRegisteredTwice, IdempotencyInProgress, IdempotencyMismatch
    ),
    summary="Replace the home wallet's API key",
)
async def rotate_home_key(
    caller: Updater,
    session: Transaction,
    resources: Resources,
    idempotency_key: OptionalIdempotencyKey,
    body: schemas.RotateKeyIn | None = None,
) -> Response:
    """Send both signatures during the overlap (24 h by default), the new one first."""

    async def rotate() -> schemas.ApiKeyOut:
        wanted = body or schemas.RotateKeyIn()
        return revealed(await resources.external_wallets.rotate_key(session, caller, "home", wanted))

    return await answer_once(session, realm=caller.realm, key=idempotency_key, create=rotate, status=200, **KEPT)


@router.post(
    "/test-connection",
    responses=problem_responses(NotFound, WalletUnavailable),
    summary="Test the home wallet's connection",
)
async def test_home_connection(caller: Updater, resources: Resources) -> schemas.ConnectionTestOut:
    """Asks the wallet, moves nothing: address, TLS, signature, clock, and what it can do, which is kept."""
    return await resources.connection_tests.run(caller, "home")
