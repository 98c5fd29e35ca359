"""Makes one call of a step: the right order, at the endpoint that was pinned, through the wallet's gate. No database open."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from wallet_gateway.external_wallets.access import WalletAccess
from wallet_gateway.external_wallets.repository import StoredWallet
from wallet_gateway.isolation.calls import isolated_step
from wallet_gateway.isolation.errors import NotAdmitted
from wallet_gateway.isolation.gate import Lane
from wallet_gateway.protocols.endpoint import Endpoint
from wallet_gateway.protocols.results import StepResult
from wallet_gateway.transfers.journey import Heard, Journey
from wallet_gateway.transfers.orders import finding_of, finding_of_refusal, order_of
from wallet_gateway.transfers.pinned_endpoint import as_pinned
from wallet_gateway.transfers.resolution import Call, Finding

_OPENED_MAX: Final = 1000
ROOM_WAIT_SECONDS: Final = 10.0
"""How long a call may wait for others to the same wallet; one that waits longer is not sent, and made again later."""


class StepCaller:
    """Calls wallets for the runner."""

    def __init__(self, wallets: WalletAccess) -> None:
        self._wallets = wallets
        self._opened: OrderedDict[UUID, _Opened] = OrderedDict()

    async def call(self, journey: Journey, call: Call, stored: StoredWallet) -> Heard:
        """Make a call of the step under way; never raises for what a wallet, the network or our limits do."""
        if stored.wallet.frozen and call != "get":
            # Its memory of the past is in doubt: what it has forgotten it would do again.
            return Heard(finding=Finding(outcome="not_sent", code="wallet_frozen"), call=None)
        try:
            result = await isolated_step(
                self._wallets.isolation,
                stored.wallet.id,
                lambda: self._make(journey, call, stored),
                tenant_id=stored.wallet.tenant_id,
                wait_seconds=ROOM_WAIT_SECONDS,
                lane=self._lane(journey, stored),
            )
        except NotAdmitted as refusal:
            return Heard(finding=finding_of_refusal(refusal), call=None)
        return Heard(finding=finding_of(result), call=result.call)

    def _lane(self, journey: Journey, stored: StoredWallet) -> Lane:
        """Return the slow lane past an open breaker for what must be resolved; nothing new takes it."""
        is_open = self._wallets.isolation.open_seconds(stored.wallet.id) > 0
        return "resolve" if is_open and journey.course.outcome_is_unknown else "write"

    async def _make(self, journey: Journey, call: Call, stored: StoredWallet) -> StepResult:
        step = journey.step
        endpoint = self._endpoint(stored, step.endpoint)
        order = order_of(journey.transfer, journey.steps, step)
        client = self._wallets.client
        match call:
            case "put":
                return await client.put_transfer(endpoint, order)
            case "commit":
                return await client.commit(endpoint, order)
            case "cancel":
                return await client.cancel(endpoint, order)
            case "get":
                return await client.get_transfer(endpoint, order)

    def _endpoint(self, stored: StoredWallet, pinned: dict[str, Any]) -> Endpoint:
        """Return the endpoint of a step; its keys are opened once for as long as the wallet stays as it was loaded."""
        opened = self._opened.get(stored.wallet.id)
        if opened is None or opened.stored is not stored:
            opened = self._opened[stored.wallet.id] = _Opened(stored)
            if len(self._opened) > _OPENED_MAX:
                self._opened.popitem(last=False)
        for known, endpoint in opened.endpoints:
            if known == pinned:
                return endpoint
        endpoint = self._wallets.endpoints.open(as_pinned(stored, pinned))
        opened.endpoints.append((pinned, endpoint))
        return endpoint


@dataclass(frozen=True, slots=True)
class _Opened:
    """The endpoints of one wallet as it was loaded, one for each address that steps have pinned."""

    stored: StoredWallet
    endpoints: list[tuple[dict[str, Any], Endpoint]] = field(default_factory=list)
