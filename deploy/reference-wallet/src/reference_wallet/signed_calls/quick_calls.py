"""The calls that move money, straight to their routes: of them alone there are hundreds a second.

Inside of what surrounds every request, and before the framework's search for a route, to which whatever is not plainly such a
call goes on.
"""

import re
from collections.abc import Sequence

from fastapi import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from reference_wallet.signed_calls.route import Handler, SignedRoute
from shared.app_factory import problem_response
from shared.ewp.fields import STEP_ID_PATTERN
from shared.problems import Problem
from shared.request_body import has_body

_CALL = re.compile(rf"/v1/transfers/({STEP_ID_PATTERN.strip('^$')})(?:/(commit|cancel))?", re.ASCII)


class QuickCalls:
    """ASGI middleware; ``routes`` are those of transfers."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        found = {route.name: route for route in routes if isinstance(route, SignedRoute)}
        self._ways: dict[str, tuple[SignedRoute, Handler]] = {
            name: (found[name], found[name].get_route_handler()) for name in ("put", "commit", "cancel")
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry such a call out, or pass it on."""
        call = _CALL.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "PUT" else None
        if call is None or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        name = call[2] or "put"
        request = Request(scope, receive, send)
        if name != "put" and has_body(request):
            await self._app(scope, receive, send)
            return
        route, handle = self._ways[name]
        scope["route"], scope["path_params"] = route, {"transfer_id": call[1]}
        try:
            response = await handle(request)
        except Problem as problem:
            response = problem_response(request, problem)
        await response(scope, receive, send)
