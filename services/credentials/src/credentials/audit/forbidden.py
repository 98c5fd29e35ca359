"""Refusals of what a known credential asked for, noted for its owner: every 403 but a missing scope, which verification notes."""

from fastapi import FastAPI, Request, Response

from credentials.audit.denials import DeniedCredential
from shared.app_factory import problem_response
from shared.problems import Forbidden, InsufficientScope


def install(app: FastAPI) -> None:
    """Answer Forbidden as any problem, and note it; the reason in the log is the problem's code."""

    async def forbidden(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, Forbidden)
        principal = getattr(request.state, "principal", None)
        was_told = getattr(request.state, "refusal_was_told", False)
        if principal is not None and not was_told and not isinstance(exc, InsufficientScope):
            denied = DeniedCredential.of(principal)
            request.app.state.resources.denials.note(denied, reason=exc.code, ip=request.state.ip)
        return problem_response(request, exc)

    app.add_exception_handler(Forbidden, forbidden)
