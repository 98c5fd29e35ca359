"""The way to a wallet: every call to one passes here first, and tells how it went. State of one process.

Three lanes, each with its own limits, so that none starves another: ``read``, ``write``, and ``resolve`` for what must go on
when the breaker is open (resolving unknown outcomes, an operator's test), slowly. In each lane a wallet, a tenant with all its
wallets, and all together have so many calls under way at most: a process has that many connections, so no call waits for one,
and what one tenant's wallets hold up is never taken for another wallet's failure.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Literal
from uuid import UUID

from shared.rate_limits import RateLimiter
from wallet_gateway.isolation import breaker as breakers
from wallet_gateway.isolation.breaker import CLOSED, Breaker, Passage
from wallet_gateway.isolation.errors import BreakerOpen, RateExceeded
from wallet_gateway.isolation.places import Places

Lane = Literal["read", "write", "resolve"]
Change = Callable[[UUID, float | None], None]

WALLETS_KEPT_MAX: Final = 10_000
"""States of wallets; of more, those that nobody calls are forgotten first."""
_LOOKED_AT_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """What one wallet may be asked through one lane by this process, and how many calls a tenant and all have under way."""

    in_flight_max: int
    waiting_max: int
    per_second: int
    tenant_in_flight_max: int
    all_in_flight_max: int


@dataclass(slots=True)
class Ticket:
    """One call that was let through. Say how it went; what is left unsaid (a cancelled call) counts as nothing."""

    outcome: Literal["answered", "failed"] | None = None

    def answered(self) -> None:
        """Note that the wallet answered, whatever it said."""
        self.outcome = "answered"

    def failed(self) -> None:
        """Note that nothing usable came from it."""
        self.outcome = "failed"


@dataclass(slots=True)
class _Gate:
    breaker: Breaker = CLOSED
    lanes: dict[Lane, Places] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        return self.breaker == CLOSED and not any(places.is_used for places in self.lanes.values())


class Isolation:
    """Every wallet's gate, in one process."""

    def __init__(
        self,
        limits: Mapping[Lane, LaneLimits],
        *,
        on_change: Change = lambda _wallet_id, _open_seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_change`` is told when a breaker opens (for how many seconds) or closes (None)."""
        self._limits = limits
        self._on_change = on_change
        self._clock = clock
        self._gates: OrderedDict[UUID, _Gate] = OrderedDict()
        self._of_tenants: dict[tuple[UUID, Lane], Places] = {}
        """Of those who have calls under way, or waiting."""
        self._of_all = {lane: Places(limit.all_in_flight_max) for lane, limit in limits.items()}
        self._rates = {
            lane: RateLimiter(lane, limit=limit.per_second, window_seconds=1, keys_max=WALLETS_KEPT_MAX, clock=clock)
            for lane, limit in limits.items()
        }

    @asynccontextmanager
    async def admit(
        self, wallet_id: UUID, lane: Lane, *, tenant_id: UUID, wait_seconds: float
    ) -> AsyncIterator[Ticket]:
        """Let one call to a wallet through, waiting at most so long for room; raises BreakerOpen, RateExceeded or NoRoom."""
        gate = self._gate(wallet_id)
        self._refuse_if_open(gate, lane)
        allowance = self._rates[lane].take(wallet_id)
        if allowance.retry_after_seconds is not None:
            raise RateExceeded(retry_after_seconds=allowance.retry_after_seconds)
        async with self._room(gate, lane, tenant_id=tenant_id, wait_seconds=wait_seconds):
            # It may have opened while this call waited.
            self._refuse_if_open(gate, lane)
            now = self._clock()
            passage: Passage = "aside"
            if lane != "resolve" or breakers.wait_seconds(gate.breaker, now=now) == 0:
                gate.breaker, passage = breakers.let_through(gate.breaker, now=now)
            ticket = Ticket()
            try:
                yield ticket
            finally:
                self._judge(wallet_id, gate, passage, ticket)

    def open_seconds(self, wallet_id: UUID) -> float:
        """Return how long the breaker of a wallet stays open; 0 when a call would be let through."""
        gate = self._gates.get(wallet_id)
        return 0.0 if gate is None else breakers.wait_seconds(gate.breaker, now=self._clock())

    def _gate(self, wallet_id: UUID) -> _Gate:
        gate = self._gates.get(wallet_id)
        if gate is None:
            gate = self._gates[wallet_id] = _Gate()
            self._forget_idle()
        self._gates.move_to_end(wallet_id)
        return gate

    def _forget_idle(self) -> None:
        """Forget gates beyond the limit, longest unused first; one in use stays, and its lanes bound it."""
        for wallet_id in list(islice(self._gates, _LOOKED_AT_MAX)):
            if len(self._gates) > WALLETS_KEPT_MAX and self._gates[wallet_id].is_idle:
                del self._gates[wallet_id]

    def _refuse_if_open(self, gate: _Gate, lane: Lane) -> None:
        wait_seconds = breakers.wait_seconds(gate.breaker, now=self._clock())
        if wait_seconds > 0 and lane != "resolve":
            raise BreakerOpen(retry_after_seconds=wait_seconds)

    @asynccontextmanager
    async def _room(self, gate: _Gate, lane: Lane, *, tenant_id: UUID, wait_seconds: float) -> AsyncIterator[None]:
        """Take a place at the wallet, of its tenant's, and of all; raises NoRoom."""
        limits = self._limits[lane]
        of_wallet = gate.lanes.get(lane)
        if of_wallet is None:
            of_wallet = gate.lanes[lane] = Places(limits.in_flight_max, waiting_max=limits.waiting_max)
        until = asyncio.get_running_loop().time() + wait_seconds
        async with of_wallet.held(until=until):
            # Only now: one that nobody uses is forgotten, and must not be while somebody still waits at the wallet.
            of_tenant = self._of_tenants.get((tenant_id, lane))
            if of_tenant is None:
                of_tenant = self._of_tenants[tenant_id, lane] = Places(limits.tenant_in_flight_max)
            try:
                async with of_tenant.held(until=until), self._of_all[lane].held(until=until):
                    yield
            finally:
                if not of_tenant.is_used:
                    self._of_tenants.pop((tenant_id, lane), None)

    def _judge(self, wallet_id: UUID, gate: _Gate, passage: Passage, ticket: Ticket) -> None:
        was_open = gate.breaker.open_until
        if ticket.outcome == "answered":
            gate.breaker = breakers.after_success(gate.breaker, passage=passage)
        elif ticket.outcome == "failed":
            gate.breaker = breakers.after_failure(gate.breaker, passage=passage, now=self._clock())
        else:
            gate.breaker = breakers.after_nothing(gate.breaker, passage=passage)
        is_open = gate.breaker.open_until
        if is_open != was_open:
            self._on_change(wallet_id, None if is_open is None else is_open - self._clock())
