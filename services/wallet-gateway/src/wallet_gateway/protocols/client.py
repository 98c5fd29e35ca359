"""The port through which the gateway speaks with wallet systems. Used by balances, transfers, reconciliation, external_wallets.

Implementations: ``http_client.HttpWalletClient`` over guarded HTTP, and a fake for tests (tests/support/fake_wallet.py); one
suite holds both to this contract.
"""

from collections.abc import Sequence
from typing import Protocol

from shared.ewp.messages import BalancePage, FeedPage, TransferOrder, WalletBalance, WellKnown
from wallet_gateway.protocols.endpoint import Endpoint
from wallet_gateway.protocols.results import Read, StepResult


class WalletClient(Protocol):
    """One call is one request, sent at most once, within the endpoint's time limit.

    Reads raise ReadFailed. Steps never raise for what a wallet or the network does: their result says what is known.
    """

    async def well_known(self, endpoint: Endpoint) -> Read[WellKnown]:
        """Ask what the system can do."""
        ...

    async def query_balances(
        self,
        endpoint: Endpoint,
        *,
        owner_refs: Sequence[str],
        currency: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Read[BalancePage]:
        """Return one page of the wallets of these owners, or of everybody when none is named."""
        ...

    async def balance(
        self, endpoint: Endpoint, *, wallet_id: str, owner_ref: str | None = None, currency: str | None = None
    ) -> Read[WalletBalance]:
        """Return one wallet. ``crm-v1`` finds it by owner and currency, which are needed there, and compares its id."""
        ...

    async def put_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        """Order one step; the same order again asks for its state."""
        ...

    async def commit(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        """Commit the hold that ``order`` made; the order is what the answer must echo."""
        ...

    async def cancel(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        """Cancel ``order``, for ever, also if the wallet has never seen it."""
        ...

    async def get_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        """Ask what became of ``order``; the only call that can result in NotFound."""
        ...

    async def feed(self, endpoint: Endpoint, *, after_seq: int, limit: int) -> Read[FeedPage]:
        """Return the changes of state after ``after_seq``, oldest first."""
        ...
