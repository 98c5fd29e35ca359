"""A shorter way for well-formed calls of a hot route. Used by credentials (verify) and wallet-gateway (transfers, balances).

FastAPI's own way through dependencies and generic parsing takes longer than all the rest of such a call. The shorter one takes
the same steps by hand, in the same order: who calls, whether the call is known, and only then the body. Whatever is not plainly
well-formed goes the whole way, which alone answers faults.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError
from starlette.types import Message

from shared import strict_json
from shared.request_body import StrictRequest, StrictRoute, has_body


class QuickRoute(StrictRoute, ABC):
    """The base of the two below. A service says which route, who may call, and how to answer."""

    MODEL: ClassVar[type[BaseModel]]
    CALLER: ClassVar[Any]
    """The dependency that authenticates, see ``shared.access.require``."""

    def is_quick(self) -> bool:
        """Tell whether this route, of all that have this class, has the shorter way."""
        return True

    @abstractmethod
    async def well_formed(self, call: StrictRequest) -> Any:
        """Return what a well-formed call wants; None for any other."""

    @abstractmethod
    async def answer(self, call: StrictRequest, wanted: Any, caller: Any) -> Response:
        """Answer a well-formed call: ``wanted`` is what ``well_formed`` returned, ``caller`` what CALLER did."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that takes the shorter way where it can."""
        handle_wholly = super().get_route_handler()
        if not self.is_quick():
            return handle_wholly
        authenticate: Callable[[Request], Awaitable[object]] = self.CALLER.dependency

        async def handle(request: Request) -> Response:
            call = StrictRequest(request.scope, request.receive)
            call.authentication = authenticate
            caller = await authenticate(call)
            wanted = await self.well_formed(call)
            if wanted is not None:
                return await self.answer(call, wanted, caller)
            if call.taken is not None:
                request = Request(request.scope, _again(call.taken))
            return await handle_wholly(request)

        return handle


class QuickBodyRoute(QuickRoute):
    """For an endpoint that takes a JSON body, a MODEL, and no query."""

    async def well_formed(self, call: StrictRequest) -> Any:
        """Return the body as the MODEL; it is read only where the call has no query."""
        if call.scope["query_string"]:
            return None
        body = await call.body()
        if call.headers.get("content-type") != "application/json":
            return None
        try:
            return self.MODEL.model_validate(strict_json.loads(body))
        except (strict_json.MalformedJsonError, ValidationError):
            return None


class QuickQueryRoute(QuickRoute):
    """For an endpoint that takes its query as a MODEL, and no body."""

    async def well_formed(self, call: StrictRequest) -> Any:
        """Return the query as the MODEL."""
        if has_body(call):
            return None
        asked = call.query_params.multi_items()
        fields = dict(asked)
        if len(fields) != len(asked):
            return None
        try:
            return self.MODEL.model_validate(fields)
        except ValidationError:
            return None


def _again(body: bytes) -> Callable[[], Coroutine[Any, Any, Message]]:
    """Return a channel from which the body is read once more."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
