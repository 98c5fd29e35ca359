"""HTTP of the well-known document: what this wallet system can do. It may be asked without a signature."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from reference_wallet.discovery.service import described
from reference_wallet.resources import Resources, opened_resources
from shared.ewp.messages import WellKnown
from shared.request_body import StrictRoute

router = APIRouter(tags=["ewp/1"], route_class=StrictRoute)
_DOCUMENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": WellKnown.model_json_schema(mode="serialization")}}}
}


@router.get("/.well-known/external-wallet", summary="What this wallet system can do", responses=_DOCUMENT)
async def well_known(request: Request, resources: Annotated[Resources, Depends(opened_resources)]) -> dict[str, Any]:
    """Whoever signs is told about their own wallet system, everybody else what one here can do by default."""
    call = await resources.callers.recognise(request)
    return await described(resources.settings, resources.database, call)
