"""The contract of the WalletClient port, kept by the fake that other tests use and by the real client over real sockets."""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_network

import pytest
from pydantic import SecretStr

from shared.egress import AddressPolicy, EgressClient
from shared.ewp.messages import TransferOrder
from shared.ewp.signing_keys import HmacKey
from support.fake_wallet import NOT_CARRIED_OUT, UNKNOWN_CODES, FakeWallet, FakeWalletClient, Fault
from support.model_wallet import ModelWallet
from support.wallet_server import WalletServer, run_wallet
from wallet_gateway.protocols.client import WalletClient
from wallet_gateway.protocols.endpoint import Endpoint, WalletKey
from wallet_gateway.protocols.http_client import HttpWalletClient
from wallet_gateway.protocols.results import Definitive, EchoMismatch, NotFound, NotSent, ReadFailed, Unknown

LOOPBACK = AddressPolicy([ip_network("127.0.0.0/8")])
KEY = WalletKey(key_id="ewk_1", secret=SecretStr("a key that only this test knows"))
WRONG_ECHOES: list[Fault] = ["wrong_id", "wrong_op", "wrong_amount", "wrong_currency"]


@dataclass(slots=True)
class World:
    """A client, a wallet with 100.00 USD in ``w1``, and the way to it."""

    client: WalletClient
    wallet: FakeWallet
    endpoint: Endpoint
    dead_end: Endpoint | None = None
    _number: int = 0

    def order(self, amount: str = "10.00", **changes: str) -> TransferOrder:
        """Return a new order, a held debit unless ``changes`` say otherwise."""
        self._number += 1
        fields = {"op": "debit", "mode": "hold", "wallet_id": "w1", "owner_ref": "a1b2c3d4", "currency": "USD"}
        return TransferOrder.model_validate(
            {
                **fields,
                "transfer_id": f"tr_1.source.{self._number}",
                "amount": amount,
                "not_after": datetime.now(UTC) + timedelta(seconds=60),
                **changes,
            }
        )

    def on(self, fault: Fault) -> Endpoint:
        """Return the endpoint at which the next call meets this fault."""
        if fault == "not_sent" and self.dead_end is not None:
            return self.dead_end
        self.wallet.faults.append(fault)
        return self.endpoint


@pytest.fixture(params=["fake", "http"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Return the world of each implementation."""
    wallet = FakeWallet()
    wallet.model.open_account("w1", "100.00")
    wallet.model.open_account("w/2 ä", "7", currency="JPY")
    endpoint = Endpoint(
        wallet_id=None, base_url="https://wallet.test", keys=[KEY], response_signatures="required", timeout_seconds=2
    )
    if request.param == "fake":
        yield World(FakeWalletClient({endpoint.base_url: wallet}), wallet, endpoint)
        return
    server = WalletServer(
        wallet=wallet, keys=[HmacKey.of_text(KEY.key_id, KEY.secret.get_secret_value())], base_path="/b"
    )
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"  # bound and never listened at: refused
        async with run_wallet(server), await EgressClient.open(LOOPBACK, connections_max=4) as egress:
            here = replace(endpoint, base_url=server.url)
            dead_end = replace(endpoint, base_url=nobody)
            yield World(HttpWalletClient(egress, LOOPBACK), wallet, here, dead_end)


async def test_what_the_system_can_do_is_read(world: World) -> None:
    """The well-known document is read, signed or not."""
    told = await world.client.well_known(world.endpoint)
    assert told.value == ModelWallet.well_known(world.wallet.model)
    assert told.call.response_status == 200


async def test_balances_are_exact_and_paged(world: World) -> None:
    """Amounts come at their currency's scale; a cursor leads to the next page and the last one has none."""
    first = (await world.client.query_balances(world.endpoint, owner_refs=["a1b2c3d4"], limit=1)).value
    second = await world.client.query_balances(
        world.endpoint, owner_refs=["a1b2c3d4"], limit=1, cursor=first.next_cursor
    )
    assert [str(wallet.available) for wallet in (*first.data, *second.value.data)] == ["100.00", "7"]
    assert second.value.next_cursor is None
    nobody = await world.client.query_balances(world.endpoint, owner_refs=["nobody"])
    assert nobody.value.data == []
    yen = await world.client.query_balances(world.endpoint, owner_refs=[], currency="JPY")
    assert [wallet.wallet_id for wallet in yen.value.data] == ["w/2 ä"]


async def test_one_balance_is_found_whatever_its_name(world: World) -> None:
    """A wallet's name may hold a slash, a space and letters beyond ASCII; an unknown one is a failed read."""
    found = await world.client.balance(world.endpoint, wallet_id="w/2 ä", owner_ref="a1b2c3d4", currency="JPY")
    assert found.value.ledger == Decimal(7)
    with pytest.raises(ReadFailed) as failed:
        await world.client.balance(world.endpoint, wallet_id="none")
    assert (failed.value.code, failed.value.sent, failed.value.wallet_code) == ("http_404", True, "not_found")


async def test_an_answer_about_another_wallet_is_refused(world: World) -> None:
    """What was not asked for is not shown."""
    with pytest.raises(ReadFailed, match="answer_malformed"):
        await world.client.balance(world.endpoint, wallet_id="w1", owner_ref="someone else")


async def test_a_hold_is_committed(world: World) -> None:
    """Hold, commit, and the state from then on; the money moves once, however often it is asked for."""
    order = world.order()
    held = await world.client.put_transfer(world.endpoint, order)
    assert isinstance(held, Definitive)
    assert held.answer.state == "held"
    for call in (world.client.commit, world.client.commit, world.client.put_transfer, world.client.get_transfer):
        result = await call(world.endpoint, order)
        assert isinstance(result, Definitive)
        assert (result.answer.state, result.answer.seq) == ("committed", 2)
    assert world.wallet.model.effects == {order.transfer_id: 1}
    assert world.wallet.model.accounts["w1"].ledger == Decimal("90.00")


async def test_a_cancel_fences(world: World) -> None:
    """After the cancel of an id that was never seen, its order does nothing, whenever it arrives."""
    order = world.order()
    before = await world.client.get_transfer(world.endpoint, order)
    assert isinstance(before, NotFound)
    for call in (world.client.cancel, world.client.put_transfer, world.client.commit, world.client.get_transfer):
        result = await call(world.endpoint, order)
        assert isinstance(result, Definitive)
        assert result.answer.is_tombstone
        assert result.answer.state == "cancelled"
    assert world.wallet.model.effects == {}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "100.01"}, "insufficient_funds"),
        ({"wallet_id": "none"}, "wallet_not_found"),
        ({"currency": "EUR"}, "currency_mismatch"),
        ({"not_after": "2020-01-01T00:00:00Z"}, "expired"),
    ],
)
async def test_a_rejection_is_definitive(world: World, changes: dict[str, str], code: str) -> None:
    """A wallet that refuses says why, and nothing moved."""
    result = await world.client.put_transfer(world.endpoint, world.order(**changes))
    assert isinstance(result, Definitive)
    assert result.answer.error is not None
    assert (result.answer.state, result.answer.error.code) == ("rejected", code)
    assert world.wallet.model.effects == {}


async def test_other_content_under_the_same_id_proves_nothing(world: World) -> None:
    """409 speaks of this request: what the first one did is asked for."""
    order = world.order(mode="direct")
    await world.client.put_transfer(world.endpoint, order)
    other = order.model_copy(update={"amount": Decimal("20.00")})
    result = await world.client.put_transfer(world.endpoint, other)
    assert isinstance(result, Unknown)
    assert (result.code, result.wallet_code) == ("http_409", "idempotency_mismatch")
    asked = await world.client.get_transfer(world.endpoint, other)
    assert isinstance(asked, EchoMismatch)
    assert asked.detail == "amount"


async def test_what_did_not_leave_did_nothing(world: World) -> None:
    """A refused connection is a step that was not sent, and a read that was not made."""
    result = await world.client.put_transfer(world.on("not_sent"), world.order())
    assert isinstance(result, NotSent)
    assert result.code == "connect_failed"
    with pytest.raises(ReadFailed) as failed:
        await world.client.query_balances(world.on("not_sent"), owner_refs=[])
    assert (failed.value.code, failed.value.sent) == ("connect_failed", False)


@pytest.mark.parametrize("fault", sorted(UNKNOWN_CODES))
async def test_whatever_is_not_proved_is_unknown(world: World, fault: Fault) -> None:
    """A fault after sending leaves a step unknown, whether it was carried out or not; sending it again tells."""
    order = world.order(mode="direct")
    result = await world.client.put_transfer(world.on(fault), order)
    assert isinstance(result, Unknown)
    if fault not in {"lost", "late"}:  # nothing comes back: here the connection ends, elsewhere the time does
        assert result.code == UNKNOWN_CODES[fault]
    assert world.wallet.model.effects[order.transfer_id] == (0 if fault in NOT_CARRIED_OUT else 1)
    again = await world.client.put_transfer(world.endpoint, order)
    assert isinstance(again, Definitive)
    world.wallet.deliver_late()
    assert world.wallet.model.effects == {order.transfer_id: 1}


async def test_a_late_debit_after_a_cancel_does_nothing(world: World) -> None:
    """The cancel overtakes the order; when that arrives at last it is refused."""
    order = world.order(mode="direct")
    await world.client.put_transfer(world.on("late"), order)
    assert isinstance(await world.client.cancel(world.endpoint, order), Definitive)
    assert world.wallet.deliver_late() == 1
    assert world.wallet.model.effects == {}


@pytest.mark.parametrize("fault", WRONG_ECHOES)
async def test_an_answer_about_something_else_is_told(world: World, fault: Fault) -> None:
    """A wallet that confuses two transfers is not believed about either."""
    result = await world.client.put_transfer(world.on(fault), world.order())
    assert isinstance(result, EchoMismatch)
    assert result.detail == {"wrong_id": "transfer_id"}.get(fault, fault.removeprefix("wrong_"))


async def test_a_step_that_still_is_held_is_not_done(world: World) -> None:
    """An answer that contradicts the call is no proof: a direct debit cannot be held."""
    order = world.order()
    await world.client.put_transfer(world.endpoint, order)
    direct = order.model_copy(update={"mode": "direct"})
    result = await world.client.get_transfer(world.endpoint, direct)
    assert isinstance(result, Unknown)
    assert result.code == "answer_unexpected_state"


async def test_the_feed_tells_every_change_in_order(world: World) -> None:
    """``seq`` rises by one; beyond the end there is nothing but the true ``latest_seq``."""
    order = world.order()
    await world.client.put_transfer(world.endpoint, order)
    await world.client.cancel(world.endpoint, order)
    page = (await world.client.feed(world.endpoint, after_seq=0, limit=1)).value
    assert [(entry.seq, entry.state) for entry in page.data] == [(1, "held")]
    assert page.latest_seq == 2
    beyond = (await world.client.feed(world.endpoint, after_seq=9, limit=10)).value
    assert (beyond.data, beyond.latest_seq) == ([], 2)
