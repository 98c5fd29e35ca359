"""HTTP of balances."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from reference_wallet.resources import Resources, resources_of
from reference_wallet.signed_calls.documents import signed_call
from reference_wallet.signed_calls.parsing import parsed
from reference_wallet.signed_calls.route import Call, SignedRoute
from reference_wallet.wallets.errors import WalletNotFound
from shared.ewp.messages import BalancePage, BalanceQuery, WalletBalance

router = APIRouter(prefix="/v1", tags=["ewp/1"], route_class=SignedRoute)

Open = Annotated[Resources, Depends(resources_of)]


@router.post(
    "/balances:query",
    name="balances_query",
    summary="The wallets of some owners",
    **signed_call(BalancePage, body=BalanceQuery),
)
async def query_balances(call: Call, resources: Open) -> dict[str, Any]:
    """In the order of their ids, page by page."""
    query = parsed(BalanceQuery, call.body)
    return await resources.balances.page(query, system_id=call.system_id)


@router.get(
    "/wallets/{wallet_id}/balance",
    name="balance",
    summary="One wallet",
    **signed_call(WalletBalance, WalletNotFound),
)
async def get_balance(wallet_id: str, call: Call, resources: Open) -> dict[str, Any]:
    return await resources.balances.one(system_id=call.system_id, wallet_id=wallet_id)
