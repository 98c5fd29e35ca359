"""HTTP of verification: what the siblings ask."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response

from credentials.verification.quick_route import VERIFIER, QuickRoute
from credentials.verification.schemas import Invalid, Valid, VerifyRequest, answer_of
from shared.access import AccessUnavailableError, PlatformCaller
from shared.problems import ServiceUnavailable, problem_responses

router = APIRouter(prefix="/v1", tags=["verification"], route_class=QuickRoute)


@router.post(
    "/verify",
    response_model=Valid | Invalid,
    summary="Verify a credential",
    responses=problem_responses(),
)
async def verify(request: Request, asked: VerifyRequest, _caller: Annotated[PlatformCaller, VERIFIER]) -> Response:
    """Tell whether a credential is valid, has the scopes, and may be used from the address; writes nothing."""
    try:
        verdict = await request.app.state.resources.access.judge(
            asked.credential.get_secret_value(),
            ip=asked.source_ip,
            required_scopes=asked.required_scopes,
            used_scope=asked.used_scope,
            min_sequence=asked.min_sequence,
        )
    except AccessUnavailableError as exc:
        raise ServiceUnavailable from exc
    return Response(
        orjson.dumps(answer_of(verdict)), media_type="application/json", headers={"Cache-Control": "no-store"}
    )
