"""The gate before each wallet: its limits, its breaker, and that wallets do not feel one another."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from shared import typeids
from wallet_gateway.isolation import gate as gates
from wallet_gateway.isolation.breaker import FAILURES_MAX, OPEN_SECONDS_MIN
from wallet_gateway.isolation.calls import is_healthy_refusal
from wallet_gateway.isolation.errors import BreakerOpen, NoRoom, RateExceeded
from wallet_gateway.isolation.gate import Isolation, Lane, LaneLimits

ONE, OTHER, THIRD = typeids.new_id(), typeids.new_id(), typeids.new_id()
TENANT, NEIGHBOUR = typeids.new_id(), typeids.new_id()
_TOGETHER = {"tenant_in_flight_max": 3, "all_in_flight_max": 4}
SMALL: Mapping[Lane, LaneLimits] = {
    "read": LaneLimits(in_flight_max=2, waiting_max=1, per_second=100, **_TOGETHER),
    "write": LaneLimits(in_flight_max=2, waiting_max=1, per_second=3, **_TOGETHER),
    "resolve": LaneLimits(in_flight_max=1, waiting_max=1, per_second=2, **_TOGETHER),
}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def _fail(isolation: Isolation, lane: Lane = "read", times: int = FAILURES_MAX) -> None:
    for _ in range(times):
        async with isolation.admit(ONE, lane, tenant_id=TENANT, wait_seconds=0) as ticket:
            ticket.failed()


async def test_room_is_bounded_and_so_is_waiting_for_it() -> None:
    """The third call waits, the fourth is refused at once; the waiting one gives up after its time, or gets the room."""
    isolation = Isolation(SMALL)
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(isolation.admit(ONE, "read", tenant_id=TENANT, wait_seconds=0))
        with pytest.raises(NoRoom):
            async with isolation.admit(ONE, "read", tenant_id=TENANT, wait_seconds=0.01):
                pass
        waiting = asyncio.create_task(_pass(isolation, ONE, "read"))
        await asyncio.sleep(0)
        with pytest.raises(NoRoom):
            async with isolation.admit(ONE, "read", tenant_id=TENANT, wait_seconds=60):
                pass
    assert await waiting == "through"


async def test_lanes_and_wallets_do_not_feel_one_another() -> None:
    """With every place for reads of one wallet taken, its writes and another wallet's reads pass."""
    isolation = Isolation(SMALL)
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(isolation.admit(ONE, "read", tenant_id=TENANT, wait_seconds=0))
        assert await _pass(isolation, ONE, "write") == "through"
        assert await _pass(isolation, ONE, "resolve") == "through"
        assert await _pass(isolation, OTHER, "read") == "through"


async def test_a_tenant_whose_wallets_hang_leaves_room_for_the_others() -> None:
    """Of four places it has three at most, through any number of wallets; who finds none waits, and no wallet is blamed."""
    isolation = Isolation(SMALL)
    async with AsyncExitStack() as held:
        for wallet_id in (ONE, ONE, OTHER):
            await held.enter_async_context(isolation.admit(wallet_id, "read", tenant_id=TENANT, wait_seconds=0))
        with pytest.raises(NoRoom):
            async with isolation.admit(OTHER, "read", tenant_id=TENANT, wait_seconds=0.01):
                pass
        assert isolation.open_seconds(OTHER) == 0
        waiting = asyncio.create_task(_pass(isolation, OTHER, "read"))
        await asyncio.sleep(0)
        async with isolation.admit(THIRD, "read", tenant_id=NEIGHBOUR, wait_seconds=0):
            # All four are taken: nobody waits for a connection in vain either.
            with pytest.raises(NoRoom):
                async with isolation.admit(THIRD, "read", tenant_id=NEIGHBOUR, wait_seconds=0.01):
                    pass
        assert not waiting.done()
    assert await waiting == "through"
    assert await _pass(isolation, OTHER, "read") == "through"


async def test_the_rate_is_each_wallets_and_each_lanes_own() -> None:
    """It says when to try again, and counts nothing of the others."""
    clock = Clock()
    isolation = Isolation(SMALL, clock=clock)
    for _ in range(3):
        assert await _pass(isolation, ONE, "write") == "through"
    with pytest.raises(RateExceeded) as refused:
        await _pass(isolation, ONE, "write")
    assert refused.value.retry_after_seconds == pytest.approx(1 / 3)
    assert await _pass(isolation, OTHER, "write") == "through"
    assert await _pass(isolation, ONE, "read") == "through"
    clock.now += 1 / 3
    assert await _pass(isolation, ONE, "write") == "through"


async def test_an_open_breaker_stops_reads_and_writes_and_lets_the_resolver_on() -> None:
    """Reads and writes share it; when it closes or opens, that is told once."""
    told: list[tuple[UUID, float | None]] = []
    isolation = Isolation(SMALL, on_change=lambda *change: told.append(change), clock=Clock())
    await _fail(isolation)
    for lane in ("read", "write"):
        with pytest.raises(BreakerOpen) as refused:
            await _pass(isolation, ONE, lane)
        assert refused.value.retry_after_seconds == OPEN_SECONDS_MIN
    assert isolation.open_seconds(ONE) == OPEN_SECONDS_MIN
    assert isolation.open_seconds(OTHER) == 0
    async with isolation.admit(ONE, "resolve", tenant_id=TENANT, wait_seconds=0) as ticket:
        ticket.failed()
    assert told == [(ONE, OPEN_SECONDS_MIN)]
    async with isolation.admit(ONE, "resolve", tenant_id=TENANT, wait_seconds=0) as ticket:
        ticket.answered()
    assert told == [(ONE, OPEN_SECONDS_MIN), (ONE, None)]
    assert await _pass(isolation, ONE, "read") == "through"


async def test_a_breaker_that_opens_stops_those_who_wait_for_room_too() -> None:
    """They were let in before it opened, and are not sent into a wallet that hangs."""
    isolation = Isolation(SMALL, clock=Clock())
    await _fail(isolation, times=FAILURES_MAX - 1)
    async with AsyncExitStack() as held:
        tickets = [
            await held.enter_async_context(isolation.admit(ONE, "read", tenant_id=TENANT, wait_seconds=0))
            for _ in range(2)
        ]
        waiting = asyncio.create_task(_pass(isolation, ONE, "read"))
        await asyncio.sleep(0)
        tickets[0].failed()
    with pytest.raises(BreakerOpen):
        await waiting


async def test_after_its_time_one_call_probes() -> None:
    """Others are refused until it has reported; a probe that is cancelled leaves the place to the next."""
    clock = Clock()
    isolation = Isolation(SMALL, clock=clock)
    await _fail(isolation)
    clock.now += OPEN_SECONDS_MIN
    async with isolation.admit(ONE, "read", tenant_id=TENANT, wait_seconds=0):
        with pytest.raises(BreakerOpen):
            await _pass(isolation, ONE, "read")
    async with isolation.admit(ONE, "read", tenant_id=TENANT, wait_seconds=0) as ticket:
        ticket.answered()
    assert await _pass(isolation, ONE, "write") == "through"


async def test_states_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of wallets that nobody calls, those longest unused are forgotten; one with an open breaker is not."""
    monkeypatch.setattr(gates, "WALLETS_KEPT_MAX", 10)
    isolation = Isolation(SMALL, clock=Clock())
    await _fail(isolation)
    for _ in range(50):
        await _pass(isolation, typeids.new_id(), "read")
    assert len(isolation._gates) <= 10
    assert isolation.open_seconds(ONE) > 0


@pytest.mark.parametrize(
    ("status", "healthy"),
    [(None, False), (200, False), (401, True), (404, True), (422, True), (408, False), (429, False), (500, False)],
)
def test_a_refusal_of_one_call_is_no_reason_to_leave_a_wallet_alone(status: int | None, healthy: bool) -> None:  # noqa: FBT001 - a table
    """A server that says no works; one that is overloaded, broken or silent does not."""
    assert is_healthy_refusal(status) is healthy


async def _pass(isolation: Isolation, wallet_id: UUID, lane: Lane) -> str:
    async with isolation.admit(wallet_id, lane, tenant_id=TENANT, wait_seconds=60) as ticket:
        ticket.answered()
    return "through"
