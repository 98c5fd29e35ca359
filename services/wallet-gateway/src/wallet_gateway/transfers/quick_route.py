"""A shorter way for well-formed calls that begin a transfer: they come by the hundred a second."""

from typing import Any, ClassVar

from fastapi import Response

from shared.access import require
from shared.idempotency import idempotency_key_of
from shared.quick_route import QuickBodyRoute
from shared.request_body import StrictRequest
from wallet_gateway.resources import gateway_resources
from wallet_gateway.transfers.schemas import TransferIn, WaitQuery

CREATOR = require("transfers:create")
"""The dependency of the call: its caller."""


class BeginningRoute(QuickBodyRoute):
    """The route of an endpoint that takes ``body``, ``caller``, ``resources``, ``idempotency_key`` and ``query``."""

    MODEL = TransferIn
    CALLER: ClassVar[Any] = CREATOR

    def is_quick(self) -> bool:
        """Tell the call that begins a transfer from the others of its router."""
        return self.methods == {"POST"} and any(item.call is CREATOR.dependency for item in self.dependant.dependencies)

    async def answer(self, call: StrictRequest, wanted: Any, caller: Any) -> Response:
        """Ask the endpoint itself."""
        answer: Response = await self.endpoint(
            body=wanted,
            caller=caller,
            resources=await gateway_resources(call),
            idempotency_key=idempotency_key_of(call, call.headers.get("idempotency-key"), await call.body()),
            query=WaitQuery(),
        )
        return answer
