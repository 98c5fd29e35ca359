"""A client of wallets whose process goes down at a chosen call: before the request leaves, or after its answer has come.

What kill -9 does at that point: the call never returns, and nothing more is written. The test then drops the engine.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from shared.ewp.messages import TransferOrder, WellKnown
from wallet_gateway.protocols.client import WalletClient
from wallet_gateway.protocols.endpoint import Endpoint
from wallet_gateway.protocols.results import Read, StepResult

Moment = Literal["before it is sent", "after it is answered"]


@dataclass(slots=True, kw_only=True)
class CrashingClient:
    """Passes calls on to ``inner`` until the ``at``-th call of a step, 1 being the first."""

    inner: WalletClient
    at: int
    moment: Moment
    crashed: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0

    async def well_known(self, endpoint: Endpoint) -> Read[WellKnown]:
        """Pass on."""
        return await self.inner.well_known(endpoint)

    async def put_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        """Pass on, or go down."""
        return await self._call("put_transfer", endpoint, order)

    async def commit(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        """Pass on, or go down."""
        return await self._call("commit", endpoint, order)

    async def cancel(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        """Pass on, or go down."""
        return await self._call("cancel", endpoint, order)

    async def get_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        """Pass on, or go down."""
        return await self._call("get_transfer", endpoint, order)

    async def _call(self, name: str, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        self.calls += 1
        if self.calls == self.at and self.moment == "before it is sent":
            await self._go_down()
        result: StepResult = await getattr(self.inner, name)(endpoint, order)
        if self.calls == self.at:
            await self._go_down()
        return result

    async def _go_down(self) -> None:
        self.crashed.set()
        await asyncio.Event().wait()
