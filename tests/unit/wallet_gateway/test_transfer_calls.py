"""What a step asks of its wallet, which way its call takes, and in which order steps come where nobody says."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final, cast
from uuid import UUID

import pytest

from shared.access import Realm
from shared.ewp.messages import TransferAnswer, WellKnown
from wallet_gateway.external_wallets.access import WalletAccess
from wallet_gateway.external_wallets.availability import refuse_new_transfer
from wallet_gateway.external_wallets.errors import WalletUnavailable
from wallet_gateway.isolation.breaker import FAILURES_MAX
from wallet_gateway.isolation.gate import Isolation, LaneLimits
from wallet_gateway.protocols.results import CallRecord, Definitive, ReadFailed
from wallet_gateway.transfers import shaping as shaping_module
from wallet_gateway.transfers.caller import StepCaller
from wallet_gateway.transfers.orders import finding_of, order_of
from wallet_gateway.transfers.plan import Shape, StepKind
from wallet_gateway.transfers.resolution import Mode
from wallet_gateway.transfers.shaping import Shaping
from wallet_gateway.transfers.transfer import Account, StepRow, Transfer

NOW: Final = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
HOME, PARTNER = UUID(int=1), UUID(int=2)
TRANSFER: Final = Transfer(
    id=UUID("01a21663-27d7-7306-a2f3-48d855eeca8b"),
    realm=Realm(tenant_id=UUID(int=3), environment="live"),
    owner_ref="client-1",
    source=Account(wallet_id=HOME, is_home=True, account="w1"),
    target=Account(wallet_id=PARTNER, is_home=False, account="w2"),
    amount=Decimal("10.00"),
    currency="USD",
    reference=None,
    shape=Shape.HOLD_CREDIT_COMMIT,
    created_at=NOW,
)
ANSWER: Final = TransferAnswer(
    transfer_id="x", state="held", op="debit", amount=Decimal("10.00"), currency="USD", seq=1
)
CALL: Final = CallRecord(started_at=NOW, duration_ms=1.0)


@dataclass
class _Asked:
    """A wallet of which nothing is known yet."""

    id: UUID
    base_url: str
    protocol: str = "ewp/1"
    capabilities: Any = None
    is_home: bool = False


def _step(number: int, kind: StepKind) -> StepRow:
    ends = NOW + timedelta(seconds=number)
    return StepRow(number=number, kind=kind, mode=Mode.FENCE, wallet_id=HOME, endpoint={}, begun_at=NOW, not_after=ends)


@pytest.mark.parametrize("kind", [StepKind.COMMIT, StepKind.RELEASE])
def test_the_end_of_a_hold_is_about_the_hold(kind: StepKind) -> None:
    """The very order that was given: its answer may still be `held`, which says nothing against the wallet."""
    hold, end = _step(1, StepKind.HOLD), _step(2, kind)
    assert order_of(TRANSFER, [hold, end], end) == order_of(TRANSFER, [hold], hold)


def test_a_hold_that_will_end_is_known_by_its_answer() -> None:
    """Whatever the wallet's document said of its holds."""
    assert not finding_of(Definitive(answer=ANSWER, call=CALL)).hold_ends
    ends = ANSWER.model_copy(update={"hold_expires_at": NOW})
    assert finding_of(Definitive(answer=ends, call=CALL)).hold_ends


@pytest.mark.parametrize(("is_unknown", "lane"), [(True, "resolve"), (False, "write")])
async def test_only_what_must_be_resolved_goes_past_an_open_breaker(lane: str, *, is_unknown: bool) -> None:
    """While it is open; afterwards all go the same way."""
    limits = LaneLimits(in_flight_max=1, waiting_max=1, per_second=10, tenant_in_flight_max=1, all_in_flight_max=1)
    isolation = Isolation({"read": limits, "write": limits, "resolve": limits})
    caller = StepCaller(cast("WalletAccess", SimpleNamespace(isolation=isolation)))
    journey: Any = SimpleNamespace(course=SimpleNamespace(outcome_is_unknown=is_unknown))
    stored: Any = SimpleNamespace(wallet=SimpleNamespace(id=PARTNER))
    assert caller._lane(journey, stored) == "write"
    for _ in range(FAILURES_MAX):
        async with isolation.admit(PARTNER, "write", tenant_id=UUID(int=9), wait_seconds=1) as ticket:
            ticket.failed()
    assert caller._lane(journey, stored) == lane


@pytest.mark.parametrize(("here", "elsewhere", "header"), [(5.0, None, "5"), (5.0, 9, "9"), (5.0, 1, "5")])
def test_a_breaker_of_this_process_refuses_new_transfers_as_well(
    here: float, elsewhere: int | None, header: str
) -> None:
    """Before what it found out stands where other processes read it; whichever is open longer says when to come again."""
    until = None if elsewhere is None else NOW + timedelta(seconds=elsewhere)
    wallet: Any = SimpleNamespace(enabled=True, frozen=False, protocol="crm-v1", broken_until=until)
    with pytest.raises(WalletUnavailable) as refused:
        refuse_new_transfer(wallet, open_seconds=here, review_after=timedelta(hours=24), now=NOW)
    assert refused.value.headers["Retry-After"] == header


async def test_a_source_without_a_document_is_debited_directly() -> None:
    """It promises no holds, and none is counted on."""

    class Silent:
        async def capabilities(self, _stored: Any) -> Any:
            raise ReadFailed("http_404", sent=True, call=replace(CALL, response_status=404))

    class Book:
        async def get(self, _realm: Realm, wallet_id: UUID) -> Any:
            url = f"https://{wallet_id}.example"
            wallet = SimpleNamespace(id=wallet_id, protocol="ewp/1", capabilities=None, base_url=url)
            return SimpleNamespace(wallet=wallet)

    parts: dict[str, Any] = {"book": Book(), "discovery": Silent()}
    shaping, asked = Shaping(**parts, review_after=timedelta(hours=24)), list[UUID]()
    assert await shaping.shape_of(replace(TRANSFER, shape=None), waits_for=asked.append) is Shape.DEBIT_CREDIT
    assert asked == [HOME, PARTNER]


async def test_those_that_a_silent_target_let_wait_go_on_one_after_the_other() -> None:
    """All at once they would stand before everybody else at their source. One that waits alone, or elsewhere, goes at once."""
    loop, other, asked = asyncio.get_running_loop(), UUID(int=4), asyncio.Event()

    class Silent:
        async def capabilities(self, stored: Any) -> Any:
            if stored.wallet.id == HOME:
                return WellKnown(versions=["ewp/1"], currencies=[], holds=True, retention_days=30, feed=True)
            await asked.wait()
            raise ReadFailed("timeout", sent=True, call=CALL)

    class Book:
        async def get(self, _realm: Realm, wallet_id: UUID) -> Any:
            return SimpleNamespace(wallet=_Asked(wallet_id, f"https://{wallet_id}.example"))

        def forget(self, _wallet_id: UUID) -> None:
            pass

    parts: dict[str, Any] = {"book": Book(), "discovery": Silent()}
    shaping = Shaping(**parts, review_after=timedelta(hours=24))
    went_on: list[tuple[UUID, float]] = []

    async def shape(target: UUID) -> None:
        transfer = replace(TRANSFER, shape=None, target=replace(TRANSFER.target, wallet_id=target))
        assert await shaping.shape_of(transfer, waits_for=lambda _wallet_id: None) is Shape.HOLD_COMMIT_CREDIT
        went_on.append((target, loop.time()))

    async with asyncio.TaskGroup() as group:
        for target in [PARTNER] * 8 + [other] * 2:
            group.create_task(shape(target))
        await asyncio.sleep(0)
        began = loop.time()
        asked.set()
    assert [target for target, _ in went_on[:4]] == [PARTNER, other, PARTNER, other]
    # The first asked, the second's turn is at once.
    for number, at in enumerate(at for target, at in went_on if target == PARTNER):
        assert at >= began + (number - 1) * shaping_module.APART_SECONDS
    turns = dict(shaping._turns)
    for _ in range(3):
        await shape(PARTNER)
    assert shaping._turns == turns
    shaping._turns[UUID(int=5)] = loop.time()
    await shaping._turn(other)
    assert UUID(int=5) not in shaping._turns, "what is over is forgotten"


async def test_a_wallet_that_moves_while_it_is_asked_is_asked_where_it_is() -> None:
    """Who asks about the same address shares one question; what is heard from the old one says nothing of the new."""
    asked, answered = list[str](), asyncio.Event()

    class Slow:
        async def capabilities(self, stored: Any) -> WellKnown:
            asked.append(stored.wallet.base_url)
            await answered.wait()
            holds = stored.wallet.base_url == "https://old.example"
            return WellKnown(versions=["ewp/1"], currencies=[], holds=holds, retention_days=3650, feed=True)

    class Book:
        source_url = "https://old.example"

        async def get(self, _realm: Realm, wallet_id: UUID) -> Any:
            url = self.source_url if wallet_id == HOME else "https://partner.example"
            return SimpleNamespace(wallet=_Asked(wallet_id, url))

        def forget(self, _wallet_id: UUID) -> None:
            pass

    book = Book()
    parts: dict[str, Any] = {"book": book, "discovery": Slow()}
    shaping = Shaping(**parts, review_after=timedelta(hours=24))

    async def begin() -> asyncio.Task[Any]:
        shaped = asyncio.create_task(shaping.shape_of(replace(TRANSFER, shape=None), waits_for=lambda _id: None))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return shaped

    first, second = await begin(), await begin()
    book.source_url = "https://new.example"
    third = await begin()
    assert asked == ["https://old.example", "https://new.example"]
    answered.set()
    assert [await shaped for shaped in (first, second)] == [Shape.HOLD_COMMIT_CREDIT] * 2
    assert await third is Shape.DEBIT_CREDIT
