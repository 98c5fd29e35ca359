"""HTTP of balances."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from shared.access import Caller
from shared.ewp.fields import Ref
from shared.problems import NotFound, problem_responses
from wallet_gateway.balances import schemas
from wallet_gateway.balances.quick_route import READER, BalancesRoute
from wallet_gateway.external_wallets.errors import WalletDisabled
from wallet_gateway.external_wallets.schemas import WalletIdInPath
from wallet_gateway.resources import GatewayResources, gateway_resources

router = APIRouter(prefix="/v1", tags=["balances"], route_class=BalancesRoute)

Reader = Annotated[Caller, READER]
Resources = Annotated[GatewayResources, Depends(gateway_resources)]


@router.get(
    "/external-wallets/{wallet_id}/balances",
    response_model=schemas.BalancesOut,
    responses=problem_responses(NotFound, WalletDisabled),
    summary="A client's balances at one wallet",
)
async def wallet_balances(
    wallet_id: WalletIdInPath, caller: Reader, resources: Resources, query: Annotated[schemas.BalanceQueryIn, Query()]
) -> Response:
    """Live, or remembered for the wallet's `balance_cache_seconds`: each says how old it is.

    When the wallet brings nothing, what is remembered is shown with `partial` and the fault in `errors`.
    """
    shown = await resources.balances.of_wallet(caller.realm, wallet_id, query)
    return Response(shown.model_dump_json(), media_type="application/json")


@router.get(
    "/clients/{owner_ref:path}/balances",
    responses=problem_responses(NotFound),
    summary="A client's balances everywhere",
)
async def client_balances(
    owner_ref: Annotated[Ref, Path(description="The client, as the wallets know it.")],
    caller: Reader,
    resources: Resources,
    query: Annotated[schemas.ClientQueryIn, Query()],
) -> schemas.ClientBalancesOut:
    """All wallets are asked at once, under one deadline; what is missing is said, wallet by wallet, and is no error."""
    return await resources.balances.of_client(caller.realm, owner_ref, query.view)
