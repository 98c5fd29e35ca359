"""The class of every ``ewp/1`` route: who calls is proved first, the answer is signed, and in between a fault may strike.

::

    request → verify → [fault before] → carry out → [fault of content] → sign → [fault of signature or sending] → answer
"""

import asyncio
import inspect
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

import orjson
from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError

from reference_wallet.faults.rule import FaultRule, Operation
from reference_wallet.faults.strike import altered_answer, answer_instead, sent_badly, signed_badly
from reference_wallet.resources import Resources, resources_of
from reference_wallet.signed_calls.callers import SignedCall
from shared.app_factory import problem_response
from shared.ewp.fields import STEP_ID_PATTERN
from shared.ewp.signatures import sign_response
from shared.problems import Problem, ValidationFailed
from shared.request_body import StrictRequest, StrictRoute, has_body

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_STEP_ID = re.compile(STEP_ID_PATTERN, re.ASCII)


async def _proved(request: Request) -> SignedCall:
    call: SignedCall = request.state.signed_call
    return call


Call = Annotated[SignedCall, Depends(_proved)]


def told(content: dict[str, Any]) -> Response:
    """Return a 200 that says this; what is said is made here, so nothing has to check it."""
    return Response(orjson.dumps(content), media_type="application/json")


class SignedRoute(StrictRoute):
    """Its endpoints take a ``Call`` and read its body; their name is the operation."""

    def get_route_handler(self) -> Handler:
        """Return the way of a request through the stages above."""
        carry_out = _quickly(
            self.endpoint, super().get_route_handler(), takes_body="requestBody" in (self.openapi_extra or {})
        )
        operation = cast("Operation", self.name)

        async def handle(request: Request) -> Response:
            resources = resources_of(request)
            strict = StrictRequest(request.scope, request.receive)
            call = await resources.callers.verify(strict, await strict.body())
            strict.state.signed_call = call
            fault = resources.faults.choose(
                system_id=call.system_id, operation=operation, transfer_id=request.path_params.get("transfer_id")
            )
            if fault is None:
                signed = _signed(resources, call, await _answered(carry_out, strict))
                resources.replays.exchange((call.system_id, operation), signed)
                return signed
            return await _struck(fault, resources, call, lambda: _answered(carry_out, strict), operation)

        return handle


def _quickly(endpoint: Callable[..., Any], wholly: Handler, *, takes_body: bool) -> Handler:
    """Return a shorter way to an endpoint that takes nothing but an id of its path, for calls that are plainly well-formed.

    FastAPI's own way through dependencies takes longer than the call itself. Whatever else comes goes the whole way.
    """
    names = inspect.signature(endpoint).parameters.keys() - {"call", "resources"}
    if names != {"transfer_id"}:
        return wholly

    async def handle(request: Request) -> Response:
        transfer_id = request.path_params["transfer_id"]
        if request.scope["query_string"] or not _STEP_ID.fullmatch(transfer_id):
            return await wholly(request)
        if not takes_body and has_body(request):
            return await wholly(request)
        answer: Response = await endpoint(
            transfer_id=transfer_id, call=request.state.signed_call, resources=resources_of(request)
        )
        return answer

    return handle


async def _answered(carry_out: Handler, request: StrictRequest) -> Response:
    """Return the answer; a problem too is one, and is signed."""
    try:
        return await carry_out(request)
    except Problem as problem:
        return problem_response(request, problem)
    except RequestValidationError as invalid:
        faults = [{"pointer": "/".join(map(str, each["loc"])), "detail": str(each["msg"])} for each in invalid.errors()]
        return problem_response(request, ValidationFailed(errors=cast("Any", faults)))


def _signed(resources: Resources, call: SignedCall, answer: Response) -> Response:
    answer.headers.update(
        sign_response(
            call.key,
            status=answer.status_code,
            body=bytes(answer.body),
            request_signature=call.request_signature,
            created=int(resources.clock().timestamp()),
        )
    )
    return answer


async def _struck(
    fault: FaultRule,
    resources: Resources,
    call: SignedCall,
    carry_out: Callable[[], Coroutine[Any, Any, Response]],
    operation: Operation,
) -> Response:
    if fault.kind == "late":
        resources.later.start(fault.delay_ms / 1000, carry_out)
        return answer_instead(fault)
    if fault.when == "before" and fault.kind in {"delay", "drop", "status", "html"}:
        if fault.kind != "delay":
            return answer_instead(fault)
        await asyncio.sleep(fault.delay_ms / 1000)
        return _signed(resources, call, await carry_out())
    answer = await carry_out()
    if fault.kind == "delay":
        await asyncio.sleep(fault.delay_ms / 1000)
        return _signed(resources, call, answer)
    if fault.kind in {"drop", "status", "html"}:
        return answer_instead(fault)
    signed = _signed(resources, call, altered_answer(fault, answer))
    replayed = resources.replays.exchange((call.system_id, operation), signed)
    return sent_badly(fault, signed_badly(fault, signed, replayed))
