"""A shorter way for well-formed questions for a client's balances at one wallet: a CRM asks for them with each page it shows."""

from typing import Any, ClassVar

from fastapi import Response

from shared import typeids
from shared.access import require
from shared.quick_route import QuickQueryRoute
from shared.request_body import StrictRequest
from shared.typeids import MalformedIdError
from wallet_gateway.balances.schemas import BalanceQueryIn
from wallet_gateway.resources import gateway_resources

READER = require("balances:read")
"""The dependency of the call: its caller."""


class BalancesRoute(QuickQueryRoute):
    """The route of an endpoint that takes ``wallet_id``, ``caller``, ``resources`` and ``query``."""

    MODEL = BalanceQueryIn
    CALLER: ClassVar[Any] = READER

    def is_quick(self) -> bool:
        """Tell the call about one wallet from the others of its router."""
        return "wallet_id" in self.param_convertors

    async def well_formed(self, call: StrictRequest) -> Any:
        """Return the wallet's id and the query."""
        try:
            wallet_id = typeids.decode("ew", call.path_params["wallet_id"])
        except MalformedIdError:
            return None
        query = await super().well_formed(call)
        return None if query is None else (wallet_id, query)

    async def answer(self, call: StrictRequest, wanted: Any, caller: Any) -> Response:
        """Ask the endpoint itself."""
        wallet_id, query = wanted
        resources = await gateway_resources(call)
        answer: Response = await self.endpoint(wallet_id=wallet_id, caller=caller, resources=resources, query=query)
        return answer
