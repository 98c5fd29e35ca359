"""HTTP of transfers. Every state is a 200, also a rejection; only a GET of an unknown id is a 404."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from reference_wallet.resources import Resources, opened_resources
from reference_wallet.signed_calls.documents import signed_call
from reference_wallet.signed_calls.parsing import parsed
from reference_wallet.signed_calls.route import Call, SignedRoute, told
from reference_wallet.transfers.answers import answer_of
from reference_wallet.transfers.errors import HoldsUnsupported, TransferContentDiffers, TransferUnknown
from reference_wallet.transfers.schemas import OrderBody
from shared.ewp.fields import STEP_ID_PATTERN
from shared.ewp.messages import PAGE_ITEMS_MAX, SEQ_MAX, FeedPage, TransferAnswer

router = APIRouter(prefix="/v1/transfers", tags=["ewp/1"], route_class=SignedRoute)

Open = Annotated[Resources, Depends(opened_resources)]
TransferId = Annotated[str, Path(pattern=STEP_ID_PATTERN)]
AfterSeq = Annotated[int, Query(ge=0, le=SEQ_MAX, description="The last `seq` that is known.")]
Limit = Annotated[int, Query(ge=1, le=PAGE_ITEMS_MAX, description="How many to return.")]


@router.get("", name="feed", summary="The gap-free feed", **signed_call(FeedPage))
async def get_feed(call: Call, resources: Open, after_seq: AfterSeq = 0, limit: Limit = 50) -> Response:
    """Each change of state, oldest first. Beyond the end there is none, and `latest_seq` says where the end is."""
    page = await resources.transfers.feed(system_id=call.system_id, holds=call.holds, after_seq=after_seq, limit=limit)
    return told({"data": page.entries, "latest_seq": page.latest_seq})


@router.put(
    "/{transfer_id}",
    name="put",
    summary="Move money, or hold it",
    **signed_call(TransferAnswer, TransferContentDiffers, HoldsUnsupported, body=OrderBody),
)
async def put_transfer(transfer_id: TransferId, call: Call, resources: Open) -> Response:
    """Do it once: the same id with the same content answers the present state, for ever."""
    order = parsed(OrderBody, call.body).order()
    transfer = await resources.transfers.put(
        system_id=call.system_id, holds=call.holds, transfer_id=transfer_id, order=order
    )
    return told(answer_of(transfer))


@router.put("/{transfer_id}/commit", name="commit", summary="Commit a hold", **signed_call(TransferAnswer))
async def commit_transfer(transfer_id: TransferId, call: Call, resources: Open) -> Response:
    """Move what is held. An id that was never seen is cancelled for ever."""
    return told(answer_of(await resources.transfers.commit(system_id=call.system_id, transfer_id=transfer_id)))


@router.put("/{transfer_id}/cancel", name="cancel", summary="Cancel", **signed_call(TransferAnswer))
async def cancel_transfer(transfer_id: TransferId, call: Call, resources: Open) -> Response:
    """Give back what is held. An id that was never seen is cancelled for ever: what comes late under it is refused."""
    return told(answer_of(await resources.transfers.cancel(system_id=call.system_id, transfer_id=transfer_id)))


@router.get("/{transfer_id}", name="get", summary="One transfer", **signed_call(TransferAnswer, TransferUnknown))
async def get_transfer(transfer_id: TransferId, call: Call, resources: Open) -> Response:
    """Its present state."""
    return told(answer_of(await resources.transfers.get(system_id=call.system_id, transfer_id=transfer_id)))
