"""HTTP of balances."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from reference_wallet.resources import Resources, opened_resources
from reference_wallet.signed_calls.documents import signed_call
from reference_wallet.signed_calls.parsing import parsed
from reference_wallet.signed_calls.route import Call, SignedRoute, told
from reference_wallet.wallets.errors import WalletNotFound
from shared.ewp.messages import BalancePage, BalanceQuery, WalletBalance

router = APIRouter(prefix="/v1", tags=["ewp/1"], route_class=SignedRoute)

Open = Annotated[Resources, Depends(opened_resources)]


@router.post(
    "/balances:query",
    name="balances_query",
    summary="The wallets of some owners",
    **signed_call(BalancePage, body=BalanceQuery),
)
async def query_balances(call: Call, resources: Open) -> Response:
    """In the order of their ids, page by page."""
    query = parsed(BalanceQuery, call.body)
    return told(await resources.balances.page(query, system_id=call.system_id, holds=call.holds))


@router.get(
    "/wallets/{wallet_id}/balance",
    name="balance",
    summary="One wallet",
    **signed_call(WalletBalance, WalletNotFound),
)
async def get_balance(wallet_id: str, call: Call, resources: Open) -> Response:
    return told(await resources.balances.one(system_id=call.system_id, holds=call.holds, wallet_id=wallet_id))
