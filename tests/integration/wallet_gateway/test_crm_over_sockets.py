"""crm-v1 over real sockets: the requests to the byte, and a write call that is never made twice."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from shared.crm_signatures import is_signed
from shared.egress import AddressPolicy, EgressClient
from shared.ewp.messages import TransferOrder
from support.egress_peer import Peer, Script, answer, run_peer
from wallet_gateway.protocols.endpoint import Endpoint, TransferCall, WalletKey
from wallet_gateway.protocols.http_client import HttpWalletClient
from wallet_gateway.protocols.results import Definitive, NotSent, ReadFailed, Unknown

LOOPBACK = AddressPolicy([ip_network("127.0.0.0/8")])
KEY = WalletKey(key_id="ewk_1", secret=SecretStr("demo-key-1"))
WALLET = {"id": "w1", "external_user_id": "a1b2c3d4", "amount": 10.5, "currency": "USD", "decimals": 2}
CALL = TransferCall(
    path="/wallets/move?dry=0",
    method="POST",
    fields={"op": "operation", "owner_ref": "user", "amount": "amount", "currency": "currency"},
    success_field="success",
    success_value=True,
)
ORDER = TransferOrder(
    transfer_id="tr_1.source.1",
    op="debit",
    mode="direct",
    wallet_id="w1",
    owner_ref="a1b2c3d4",
    amount=Decimal("10.50"),
    currency="USD",
    not_after=datetime(2030, 1, 1, tzinfo=UTC),
)


@pytest.fixture
async def client() -> AsyncIterator[HttpWalletClient]:
    async with await EgressClient.open(LOOPBACK, connections_max=4) as egress:
        yield HttpWalletClient(egress, LOOPBACK)


def at(peer: Peer, *, timeout_seconds: float = 30.0, **changes: Any) -> Endpoint:
    """Return the endpoint of a peer, below a path."""
    url = f"http://127.0.0.1:{peer.port}/ext/"
    return Endpoint(
        wallet_id=None, base_url=url, protocol="crm-v1", keys=[KEY], timeout_seconds=timeout_seconds, **changes
    )


def saying(body: Any, *, status: int = 200) -> Script:
    """Script: answer with JSON."""
    raw = orjson.dumps(body)
    return answer(f"HTTP/1.1 {status} .\r\ncontent-length: {len(raw)}\r\n\r\n".encode() + raw)


async def test_the_list_is_asked_for_as_integrators_expect(client: HttpWalletClient) -> None:
    """Path, headers, body and signature; the numbers come back as exact text."""
    async with run_peer(saying({"data": [WALLET], "count": 1})) as peer:
        page = await client.query_balances(at(peer), owner_refs=["a1b2c3d4", "e5f6a7b8"], limit=25)
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /ext/wallets HTTP/1.1"
    assert "key: demo-key-1" in lines
    assert "signature: 7DE2C1734AA5638EDCCC6F04BF0E8BFB1FC27554" in lines
    assert orjson.loads(body) == {"skip": 0, "limit": 25, "external_user_id": ["a1b2c3d4", "e5f6a7b8"]}
    assert str(page.value.data[0].available) == "10.50"
    assert page.value.data[0].as_of - datetime.now(UTC) < timedelta(seconds=5)
    assert page.call.signature_verified is None


async def test_one_wallet_is_asked_for_by_owner_and_currency(client: HttpWalletClient) -> None:
    """No body and no signature; what stands in the query is escaped."""
    async with run_peer(saying({**WALLET, "external_user_id": "a b&c"})) as peer:
        found = await client.balance(at(peer), wallet_id="w1", owner_ref="a b&c", currency="USD")
    lines = peer.requests[0].decode().split("\r\n")
    assert lines[0] == "GET /ext/wallets/getOne?external_user_id=a%20b%26c&currency=USD HTTP/1.1"
    assert not any(line.startswith(("signature", "content-")) for line in lines)
    assert str(found.value.ledger) == "10.50"
    with pytest.raises(ValueError, match="owner and currency"):
        await client.balance(at(peer), wallet_id="w1")


async def test_a_read_that_brings_nothing_fails(client: HttpWalletClient) -> None:
    """By the same rules as everywhere."""
    for script, code in [(saying({"data": "x"}), "answer_malformed"), (saying({}, status=500), "http_500")]:
        async with run_peer(script) as peer:
            with pytest.raises(ReadFailed) as failed:
                await client.query_balances(at(peer), owner_refs=[])
            assert (failed.value.code, failed.value.sent) == (code, True)


async def test_the_write_call_is_made_once_and_signed(client: HttpWalletClient) -> None:
    """As the operator described it, below the base URL."""
    async with run_peer(saying({"success": True}, status=201)) as peer:
        result = await client.put_transfer(at(peer, transfer_call=CALL), ORDER)
    assert isinstance(result, Definitive)
    assert (result.answer.state, result.answer.amount) == ("committed", Decimal("10.50"))
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /ext/wallets/move?dry=0 HTTP/1.1\r\n")
    signature = head.partition(b"\r\nsignature: ")[2].partition(b"\r\n")[0].decode()
    assert is_signed(body, signature=signature, key="demo-key-1")
    assert orjson.loads(body) == {"operation": "debit", "user": "a1b2c3d4", "amount": "10.50", "currency": "USD"}


async def _silent(peer: Peer, reader: Any, _writer: Any) -> None:
    await peer.read_request(reader)
    await reader.read(1)


async def test_after_a_rotation_the_newest_key_is_sent_and_signs(client: HttpWalletClient) -> None:
    """This interface has room for one: what the old key would be good for is over."""
    newest = WalletKey(key_id="ewk_2", secret=SecretStr("demo-key-2"))
    async with run_peer(saying({"success": True})) as peer:
        endpoint = replace(at(peer, transfer_call=CALL), keys=[newest, KEY])
        assert isinstance(await client.put_transfer(endpoint, ORDER), Definitive)
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert b"\r\nkey: demo-key-2\r\n" in head
    signature = head.partition(b"\r\nsignature: ")[2].partition(b"\r\n")[0].decode()
    assert is_signed(body, signature=signature, key="demo-key-2")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (saying({"success": False}), "answer_malformed"),
        (saying({"success": "true"}), "answer_malformed"),
        (saying([]), "answer_malformed"),
        (saying({"success": True}, status=202), "http_202"),
        (saying({"success": True}, status=400), "http_400"),
        (saying({"success": True}, status=500), "http_500"),
        (saying({"success": True, "pad": "x" * 20_000}), "response_too_large"),
        (answer(b"HTTP/1.1 200 .\r\ncontent-length: 0\r\n\r\n"), "answer_malformed"),
        (answer(b""), "response_broken"),
    ],
)
async def test_what_is_no_clean_success_is_unknown_and_never_repeated(
    client: HttpWalletClient, script: Script, code: str
) -> None:
    """One request, and no word about what it did."""
    async with run_peer(script) as peer:
        endpoint = at(peer, transfer_call=CALL)
        result = await client.put_transfer(endpoint, ORDER)
        assert isinstance(result, Unknown)
        assert result.code == code
        assert len(peer.requests) == 1
        assert not endpoint.repeats_safely


async def test_silence_is_unknown_when_the_wallet_s_time_is_over(client: HttpWalletClient) -> None:
    """Its timeout is the limit, and then, too, nobody knows what the one request did."""
    async with run_peer(_silent) as peer:
        endpoint = at(peer, timeout_seconds=2.0, transfer_call=CALL)
        async with asyncio.timeout(15):
            result = await client.put_transfer(endpoint, ORDER)
        assert isinstance(result, Unknown)
        assert (result.code, len(peer.requests)) == ("timeout", 1)


async def test_what_the_older_interface_has_not_is_never_sent(client: HttpWalletClient) -> None:
    """No write call unless described, no holds, no commit, cancel, question, feed or well-known document."""
    async with run_peer(saying({})) as peer:
        plain, described = at(peer), at(peer, transfer_call=CALL)
        assert (plain.moves_money, described.moves_money) == (False, True)
        hold = ORDER.model_copy(update={"mode": "hold"})
        climbs = at(
            peer, transfer_call=TransferCall(path="/../x", method="PUT", fields={}, success_field="a", success_value=1)
        )
        results = [
            await client.put_transfer(plain, ORDER),
            await client.put_transfer(described, hold),
            await client.put_transfer(climbs, ORDER),
            await client.commit(described, ORDER),
            await client.cancel(described, ORDER),
            await client.get_transfer(described, ORDER),
        ]
        codes = [result.code for result in results if isinstance(result, NotSent)]
        assert codes == [
            *("protocol_cannot_transfer", "holds_not_supported", "destination_refused"),
            *["not_offered_by_protocol"] * 3,
        ]
        with pytest.raises(ReadFailed, match="not_offered_by_protocol"):
            await client.feed(described, after_seq=0, limit=10)
        with pytest.raises(ReadFailed, match="not_offered_by_protocol"):
            await client.well_known(described)
        assert peer.requests == []
