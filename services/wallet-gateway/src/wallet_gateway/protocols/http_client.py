"""The WalletClient over guarded HTTP: each endpoint in its own protocol."""

import time
from collections.abc import Sequence

from shared.egress import AddressPolicy, EgressClient
from shared.ewp.messages import BalancePage, FeedPage, TransferOrder, WalletBalance, WellKnown
from wallet_gateway.protocols.client import WalletClient
from wallet_gateway.protocols.crm import CrmClient
from wallet_gateway.protocols.endpoint import Endpoint
from wallet_gateway.protocols.ewp import EwpClient
from wallet_gateway.protocols.results import Read, StepResult
from wallet_gateway.protocols.transport import Clock, Transport


class HttpWalletClient:
    """See ``client.WalletClient``. ``policy`` is the one that ``egress`` was opened with; ``clock`` gives unix seconds."""

    def __init__(self, egress: EgressClient, policy: AddressPolicy, *, clock: Clock = time.time) -> None:
        transport = Transport(egress, policy, clock=clock)
        self._ewp = EwpClient(transport)
        self._crm = CrmClient(transport)

    def _of(self, endpoint: Endpoint) -> WalletClient:
        return self._ewp if endpoint.protocol == "ewp/1" else self._crm

    async def well_known(self, endpoint: Endpoint) -> Read[WellKnown]:
        return await self._of(endpoint).well_known(endpoint)

    async def query_balances(
        self,
        endpoint: Endpoint,
        *,
        owner_refs: Sequence[str],
        currency: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Read[BalancePage]:
        return await self._of(endpoint).query_balances(
            endpoint, owner_refs=owner_refs, currency=currency, cursor=cursor, limit=limit
        )

    async def balance(
        self, endpoint: Endpoint, *, wallet_id: str, owner_ref: str | None = None, currency: str | None = None
    ) -> Read[WalletBalance]:
        return await self._of(endpoint).balance(endpoint, wallet_id=wallet_id, owner_ref=owner_ref, currency=currency)

    async def put_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return await self._of(endpoint).put_transfer(endpoint, order)

    async def commit(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return await self._of(endpoint).commit(endpoint, order)

    async def cancel(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return await self._of(endpoint).cancel(endpoint, order)

    async def get_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return await self._of(endpoint).get_transfer(endpoint, order)

    async def feed(self, endpoint: Endpoint, *, after_seq: int, limit: int) -> Read[FeedPage]:
        return await self._of(endpoint).feed(endpoint, after_seq=after_seq, limit=limit)
