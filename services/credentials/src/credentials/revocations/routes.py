"""HTTP of the revocation feed: what the siblings follow."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from credentials.revocations import service
from credentials.revocations.schemas import Revocations, RevocationsQuery
from shared.access import PlatformCaller, require_platform
from shared.problems import problem_responses
from shared.request_body import StrictRoute

router = APIRouter(prefix="/v1/revocations", tags=["revocations"], route_class=StrictRoute)


@router.get("", response_model=Revocations, summary="Follow the revocations", responses=problem_responses())
async def follow(
    request: Request,
    query: Annotated[RevocationsQuery, Query()],
    _caller: Annotated[PlatformCaller, require_platform("credentials:verify")],
) -> Response:
    """Return the rows after a sequence in their order of commit; with ``wait_ms``, wait that long for the first one.

    Rows are kept for a day. If the first one does not follow ``after`` directly, what is between is gone: drop all you
    remember, and go on from ``sequence``. An answer without rows is a heartbeat: nothing was revoked that was committed before
    the request was sent. ``services`` shows how far each process has come that follows this API process.
    """
    resources = request.app.state.resources
    answer = await service.read(resources.feed, resources.followers, query=query)
    # Several heartbeats a second from each process would bury the log.
    request.state.is_heartbeat = not answer.data
    return Response(answer.model_dump_json(), media_type="application/json", headers={"Cache-Control": "no-store"})
