"""HTTP of verification: what the siblings ask."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response

from credentials.verification.quick_route import VERIFIER, QuestionRoute
from credentials.verification.schemas import Invalid, Valid, VerifyRequest, answer_of
from credentials.verification.service import LocalVerifier, Verdict
from shared.access import AccessUnavailableError, PlatformCaller, Principal
from shared.problems import ServiceUnavailable, problem_responses

router = APIRouter(prefix="/v1", tags=["verification"], route_class=QuestionRoute)


@router.post(
    "/verify",
    response_model=Valid | Invalid,
    summary="Verify a credential",
    responses=problem_responses(),
)
async def verify(request: Request, asked: VerifyRequest, caller: Annotated[PlatformCaller, VERIFIER]) -> Response:
    """Tell whether a credential is valid, has the scopes, and may be used from the address; writes nothing.

    A test credential is told of test credentials alone: to it, live ones are not valid.
    """
    answer = answer_of(await _judge(request.app.state.resources.access, asked, asker=caller.principal))
    return Response(orjson.dumps(answer), media_type="application/json", headers={"Cache-Control": "no-store"})


async def _judge(access: LocalVerifier, asked: VerifyRequest, *, asker: Principal) -> Verdict:
    try:
        return await access.judge(
            asked.credential.get_secret_value(),
            ip=asked.source_ip,
            required_scopes=asked.required_scopes,
            used_scope=asked.used_scope,
            min_sequence=asked.min_sequence,
            asked_in=asker.environment,
            refused_because=asked.refused_because,
        )
    except AccessUnavailableError as exc:
        raise ServiceUnavailable from exc
