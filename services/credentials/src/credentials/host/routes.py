"""HTTP of host information."""

from typing import Annotated

from fastapi import APIRouter, Request

from credentials.api_keys.callers import require_owner
from credentials.api_keys.owner import KeyCaller
from credentials.host.schemas import Host, host_of
from shared.problems import problem_responses
from shared.request_body import StrictRoute

router = APIRouter(prefix="/v1", tags=["host"], route_class=StrictRoute)


@router.get("/host", summary="Show where everything is", responses=problem_responses())
async def host(request: Request, _caller: Annotated[KeyCaller, require_owner(None)]) -> Host:
    """Return the base URLs of the three services, the OAuth endpoints, the signing keys and the documentation."""
    settings = request.app.state.settings
    return host_of(
        issuer=settings.issuer,
        credentials_url=settings.credentials_url,
        dispatcher_url=settings.dispatcher_url,
        gateway_url=settings.gateway_url,
    )
