"""The gateway's client against the reference wallet: a whole transfer, and every fault that wallet can be asked for."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import SecretStr

from shared.egress import AddressPolicy, EgressClient
from shared.ewp.messages import TransferOrder
from support.databases import Databases
from support.reference_wallet import ReferenceWallet, WalletSystem, reference_wallet
from wallet_gateway.protocols.endpoint import Endpoint, WalletKey
from wallet_gateway.protocols.http_client import HttpWalletClient
from wallet_gateway.protocols.results import Definitive, EchoMismatch, NotFound, ReadFailed, Unknown

LOOPBACK = AddressPolicy([ip_network("127.0.0.0/8")])


@dataclass(frozen=True, slots=True)
class World:
    """A client, a system with 100.00 USD in ``w1`` of ``owner-1``, and the way to it."""

    client: HttpWalletClient
    system: WalletSystem
    endpoint: Endpoint

    def order(self, number: int = 1, **changes: Any) -> TransferOrder:
        """Return a direct debit of 10.00 USD."""
        fields: dict[str, Any] = {"op": "debit", "mode": "direct", "wallet_id": "w1", "owner_ref": "owner-1"}
        fields |= {"amount": "10.00", "currency": "USD", "not_after": datetime.now(UTC) + timedelta(seconds=60)}
        return TransferOrder.model_validate({**fields, "transfer_id": f"tr_1.source.{number}", **changes})


@pytest.fixture(scope="module")
async def served(databases: Databases) -> AsyncIterator[ReferenceWallet]:
    async with reference_wallet(databases) as wallet:
        yield wallet


@pytest.fixture
async def world(served: ReferenceWallet) -> AsyncIterator[World]:
    system = await served.new_system()
    await system.open_wallet()
    key = WalletKey(key_id=system.key.key_id, secret=SecretStr(system.key.secret.decode()))
    endpoint = Endpoint(
        wallet_id=None, base_url=served.url, keys=[key], response_signatures="required", timeout_seconds=1.5
    )
    async with await EgressClient.open(LOOPBACK, connections_max=4) as egress:
        yield World(HttpWalletClient(egress, LOOPBACK), system, endpoint)


async def test_every_call_is_understood(world: World) -> None:
    """Hold, question, commit, cancel, tombstone, balances and feed, all answers signed and believed."""
    client, endpoint = world.client, world.endpoint
    assert (await client.well_known(endpoint)).value.feed
    hold, fenced = world.order(1, mode="hold"), world.order(2)
    assert isinstance(await client.get_transfer(endpoint, hold), NotFound)
    states = []
    for call, order in [
        (client.put_transfer, hold),
        (client.get_transfer, hold),
        (client.commit, hold),
        (client.cancel, hold),
        (client.cancel, fenced),
        (client.put_transfer, fenced),
    ]:
        result = await call(endpoint, order)
        assert isinstance(result, Definitive)
        assert result.call.signature_verified is True
        states.append(result.answer.state)
    assert states == ["held", "held", "committed", "committed", "cancelled", "cancelled"]
    balance = await client.balance(endpoint, wallet_id="w1", owner_ref="owner-1", currency="USD")
    page = await client.query_balances(endpoint, owner_refs=["owner-1"])
    assert [balance.value.ledger] == [wallet.ledger for wallet in page.value.data] == [Decimal("90.00")]
    feed = await client.feed(endpoint, after_seq=0, limit=10)
    assert [entry.state for entry in feed.value.data] == ["held", "committed", "cancelled"]
    assert feed.value.latest_seq == 3


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "drop", "when": "before"}, "response_broken"),
    ({"kind": "drop"}, "response_broken"),
    ({"kind": "late", "delay_ms": 100}, "response_broken"),
    ({"kind": "delay", "when": "before", "delay_ms": 3000}, "timeout"),
    ({"kind": "delay", "delay_ms": 3000}, "timeout"),
    ({"kind": "status"}, "http_500"),
    ({"kind": "status", "when": "before"}, "http_500"),
    *(
        ({"kind": "status", "when": "before", "status": status}, f"http_{status}")
        for status in (302, 401, 403, 404, 429)
    ),
    ({"kind": "html"}, "http_502"),
    ({"kind": "empty"}, "answer_malformed"),
    ({"kind": "repeat_true"}, "answer_malformed"),
    ({"kind": "wrong_state"}, "answer_malformed"),
    ({"kind": "number_amount"}, "answer_malformed"),
    ({"kind": "nan"}, "answer_malformed"),
    ({"kind": "huge_number"}, "answer_malformed"),
    ({"kind": "duplicate_keys"}, "answer_malformed"),
    ({"kind": "deep_json"}, "response_too_large"),
    ({"kind": "no_signature"}, "response_signature_missing"),
    ({"kind": "bad_signature"}, "response_signature_mismatch"),
    ({"kind": "replayed_signature"}, "response_signature_mismatch"),
    ({"kind": "old_signature"}, "response_signature_time"),
    ({"kind": "altered_body"}, "response_content_digest_mismatch"),
    ({"kind": "truncated"}, "response_broken"),
    ({"kind": "drip", "delay_ms": 500}, "timeout"),
    ({"kind": "endless"}, "response_too_large"),
    ({"kind": "gzip_bomb"}, "response_too_large"),
]


@pytest.mark.parametrize(("rule", "code"), FAULTS, ids=[f"{rule['kind']}-{code}" for rule, code in FAULTS])
async def test_no_fault_is_taken_for_an_answer(world: World, rule: dict[str, Any], code: str) -> None:
    """Each leaves the step unknown; the same order again tells what became of it, and it has one effect at most."""
    order, earlier = world.order(), world.order(9, amount="1.00")
    if rule["kind"] == "replayed_signature":
        await world.system.arm(**rule)  # it replays what an earlier call that met it was answered
    assert isinstance(await world.client.put_transfer(world.endpoint, earlier), Definitive)
    await world.system.arm(**rule)
    result = await world.client.put_transfer(world.endpoint, order)
    assert isinstance(result, Unknown)
    assert result.code == code
    await world.system.disarm()
    again = await world.client.put_transfer(world.endpoint, order)
    assert isinstance(again, Definitive)
    assert again.answer.state == "committed"
    balance = await world.client.balance(world.endpoint, wallet_id="w1")
    assert balance.value.ledger == Decimal("89.00")


@pytest.mark.parametrize("kind", ["wrong_id", "wrong_amount", "wrong_currency"])
async def test_a_signed_answer_about_something_else_is_for_a_person(world: World, kind: str) -> None:
    """The signature is good, and the echo is wrong."""
    await world.system.arm(kind)
    result = await world.client.put_transfer(world.endpoint, world.order())
    assert isinstance(result, EchoMismatch)
    assert result.detail == {"wrong_id": "transfer_id"}.get(kind, kind.removeprefix("wrong_"))
    assert result.call.signature_verified is True


@pytest.mark.parametrize("kind", ["drop", "html", "empty", "no_signature", "bad_signature", "gzip_bomb"])
async def test_reads_fail_by_the_same_rules(world: World, kind: str) -> None:
    """A balance that cannot be believed is not shown."""
    await world.system.arm(kind)
    with pytest.raises(ReadFailed) as failed:
        await world.client.balance(world.endpoint, wallet_id="w1")
    assert failed.value.sent
