"""ewp/1 over real sockets: what is signed, what is believed, and answers of wallets that lie, stall and overflow."""

import asyncio
import base64
import contextlib
import gzip
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_network

import orjson
import pytest
from pydantic import SecretStr

from shared.egress import AddressPolicy, EgressClient
from shared.ewp.messages import TransferOrder
from shared.ewp.signature_fields import content_digest
from shared.ewp.signing_keys import Ed25519SigningKey, Ed25519VerifyingKey, HmacKey
from support.egress_peer import Peer, Script, answer, run_peer
from support.fake_wallet import FakeWallet
from support.wallet_server import WalletServer, run_wallet
from wallet_gateway.protocols.endpoint import Endpoint, ResponseSignatures, WalletKey
from wallet_gateway.protocols.http_client import HttpWalletClient
from wallet_gateway.protocols.results import Definitive, NotSent, ReadFailed, StepResult, Unknown
from wallet_gateway.protocols.transport import Clock

LOOPBACK = AddressPolicy([ip_network("127.0.0.0/8")])
NEW = WalletKey(key_id="ewk_new", secret=SecretStr("the new key, wholly made up"))
OLD = WalletKey(key_id="ewk_old", secret=SecretStr("the old key, wholly made up"))
SECONDS_MAX = 3.0


def hmac_of(key: WalletKey) -> HmacKey:
    """Return the key as the wallet has it."""
    return HmacKey.of_text(key.key_id, key.secret.get_secret_value())


def order(number: int = 1) -> TransferOrder:
    """Return a direct debit of 10.00 USD."""
    return TransferOrder(
        transfer_id=f"tr_1.source.{number}",
        op="debit",
        mode="direct",
        wallet_id="w1",
        owner_ref="a1b2c3d4",
        amount=Decimal("10.00"),
        currency="USD",
        not_after=datetime.now(UTC) + timedelta(seconds=60),
    )


def to(
    url: str, *keys: WalletKey, signatures: ResponseSignatures = "optional", timeout_seconds: float = 2.0
) -> Endpoint:
    """Return an endpoint at ``url``."""
    return Endpoint(
        wallet_id=None,
        base_url=url,
        keys=keys or (NEW,),
        response_signatures=signatures,
        timeout_seconds=timeout_seconds,
    )


@asynccontextmanager
async def a_client(clock: Clock = time.time) -> AsyncIterator[HttpWalletClient]:
    """Give a client that reaches loopback."""
    async with await EgressClient.open(LOOPBACK, connections_max=4) as egress:
        yield HttpWalletClient(egress, LOOPBACK, clock=clock)


@asynccontextmanager
async def a_wallet(*keys: HmacKey, signs: bool = True) -> AsyncIterator[WalletServer]:
    """Give a wallet with 100.00 USD that takes these keys."""
    wallet = FakeWallet()
    wallet.model.open_account("w1", "100.00")
    async with run_wallet(WalletServer(wallet=wallet, keys=keys or (hmac_of(NEW),), signs=signs)) as server:
        yield server


async def put_at(script: Script, *, timeout_seconds: float = 2.0) -> tuple[StepResult, Peer]:
    """Order a step of a peer that does what ``script`` says, and fail if that takes too long."""
    async with a_client() as client, run_peer(script) as peer:
        started = time.monotonic()
        endpoint = to(f"http://127.0.0.1:{peer.port}", timeout_seconds=timeout_seconds)
        result = await client.put_transfer(endpoint, order())
        assert time.monotonic() - started < SECONDS_MAX
        return result, peer


def http(body: bytes, *, status: int = 200, headers: Sequence[str] = ()) -> bytes:
    """Return a response's bytes."""
    head = [f"HTTP/1.1 {status} .", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


COMMITTED = orjson.dumps(
    {
        "transfer_id": "tr_1.source.1",
        "state": "committed",
        "op": "debit",
        "amount": "10.00",
        "currency": "USD",
        "seq": 1,
    }
)
BOMB = gzip.compress(b" " * 50_000_000)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (http(b""), "answer_malformed"),
        (http(b"<html>"), "answer_malformed"),
        (http(b'{"repeat":true}'), "answer_malformed"),
        (http(COMMITTED)[:-10], "response_broken"),
        (http(COMMITTED.replace(b'"10.00"', b"10.00")), "answer_malformed"),
        (http(b'{"x":' + b"[" * 10_000), "answer_malformed"),
        (http(COMMITTED + b" " * 20_000), "response_too_large"),
        (http(BOMB, headers=["content-encoding: gzip"]), "response_too_large"),
        (http(gzip.compress(COMMITTED)[:-12], headers=["content-encoding: gzip"]), "response_malformed"),
        (http(b"", status=302, headers=["location: http://127.0.0.1:9/"]), "http_302"),
        (http(b"", status=307, headers=["location: http://127.0.0.1:9/"]), "http_307"),
        (http(COMMITTED, status=201), "http_201"),
        (b"HTTP/1.1 204 .\r\n\r\n", "http_204"),
        (http(b"<html>bad gateway</html>", status=502), "http_502"),
        (b"no HTTP at all\r\n\r\n", "response_malformed"),
        (b"HTTP/1.1 200 .\r\n" + b"x: y\r\n" * 200 + b"\r\n", "response_malformed"),
        (http(COMMITTED, headers=["signature: sig1=:AAAA:"]), "response_signature_malformed"),
        (http(COMMITTED, headers=["signature-input: sig1=()"]), "response_signature_malformed"),
        (
            http(COMMITTED, headers=['signature-input: s=();keyid="x"', "signature: s=:AAAA:"]),
            "response_signature_key_unknown",
        ),
    ],
)
async def test_no_hostile_answer_is_believed(raw: bytes, code: str) -> None:
    """Each is unknown, after one request, in bounded time."""
    result, peer = await put_at(answer(raw))
    assert isinstance(result, Unknown)
    assert result.code == code
    assert len(peer.requests) == 1


async def test_a_plain_answer_is_believed_where_no_signature_is_demanded() -> None:
    """The same bytes as above, when they are an answer; the record says that nothing was verified."""
    result, peer = await put_at(answer(http(COMMITTED, headers=["date: Thu, 01 Jan 2026 00:00:00 GMT"])))
    assert isinstance(result, Definitive)
    call = result.call
    assert (call.response_status, call.signature_verified) == (200, None)
    assert call.response_digest == content_digest(COMMITTED)
    assert call.request_digest == content_digest(peer.requests[0].partition(b"\r\n\r\n")[2])
    assert call.clock_skew_seconds is not None
    assert call.clock_skew_seconds < 0


async def _drip(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.read_request(reader)
    writer.write(b"HTTP/1.1 200 .\r\ncontent-length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        with contextlib.suppress(TimeoutError):  # a little later the next byte, unless the client has gone away
            await asyncio.wait_for(reader.readexactly(1), 0.05)


async def _silent(peer: Peer, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await peer.read_request(reader)
    await reader.read(1)


@pytest.mark.parametrize("script", [_drip, _silent], ids=["drip", "silence"])
async def test_one_deadline_ends_every_wait(script: Script) -> None:
    """A byte now and then does not prolong it."""
    result, _ = await put_at(script, timeout_seconds=0.3)
    assert isinstance(result, Unknown)
    assert result.code == "timeout"


async def test_both_keys_of_a_rotation_sign_and_either_answers() -> None:
    """A wallet that has only the old key, only the new one, or both takes the request; one with neither refuses it."""
    async with a_client() as client:
        for known in ([OLD], [NEW], [OLD, NEW]):
            async with a_wallet(*map(hmac_of, known)) as server:
                result = await client.put_transfer(to(server.url, NEW, OLD, signatures="required"), order())
                assert isinstance(result, Definitive)
                assert result.call.signature_verified is True
        async with a_wallet(HmacKey.of_text("ewk_other", "x")) as server:
            result = await client.put_transfer(to(server.url, NEW, OLD), order())
            assert isinstance(result, Unknown)
            assert (result.code, result.wallet_code) == ("http_401", "signature_key_unknown")
            assert server.wallet.model.effects == {}


async def test_a_signature_is_demanded_where_the_wallet_says_so() -> None:
    """Missing: unknown where demanded, good elsewhere. Bad: unknown everywhere, for reads too."""
    async with a_client() as client, a_wallet(signs=False) as server:
        demanded = await client.put_transfer(to(server.url, signatures="required"), order())
        assert isinstance(demanded, Unknown)
        assert (demanded.code, demanded.call.signature_verified) == ("response_signature_missing", False)
        assert isinstance(await client.put_transfer(to(server.url), order(2)), Definitive)
        with pytest.raises(ReadFailed, match="response_signature_missing"):
            await client.balance(to(server.url, signatures="required"), wallet_id="w1")
        known = await client.well_known(to(server.url, signatures="required"))
        assert known.call.signature_verified is None
        server.signs = True
        server.wallet.faults.append("bad_signature")
        with pytest.raises(ReadFailed, match="response_signature_mismatch"):
            await client.balance(to(server.url), wallet_id="w1")


async def test_an_answer_to_another_request_is_not_believed() -> None:
    """Recorded and played again, also for the same call a moment later."""
    recorded: list[bytes] = []
    async with a_client() as client, a_wallet() as server:

        async def replay(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            raw = await peer.read_request(reader)
            recorded.append(server.answer(raw) or b"")
            writer.write(recorded[0])
            await writer.drain()

        async with run_peer(replay) as peer:
            endpoint = to(f"http://127.0.0.1:{peer.port}", signatures="required")
            first = await client.put_transfer(endpoint, order())
            assert isinstance(first, Definitive)
            second = await client.put_transfer(endpoint, order())
            assert isinstance(second, Unknown)
            assert second.code == "response_signature_mismatch"
            assert len(recorded) == 2


@pytest.mark.parametrize("skew_seconds", [-600, 600])
async def test_clocks_that_differ_move_no_money(skew_seconds: int) -> None:
    """Ten minutes either way: refused by the wallet, told to us, nothing moved."""
    async with a_client(clock=lambda: time.time() + skew_seconds) as client, a_wallet() as server:
        result = await client.put_transfer(to(server.url), order())
        assert isinstance(result, Unknown)
        assert (result.code, result.wallet_code) == ("http_401", "signature_time")
        assert server.wallet.model.effects == {}


async def test_a_request_is_taken_once() -> None:
    """The same bytes again are refused; the same order with a fresh signature gets the same state."""
    async with a_client() as client, a_wallet() as server:
        assert isinstance(await client.put_transfer(to(server.url), order()), Definitive)
        again = server.answer(server.requests[0])
        assert again is not None
        assert again.startswith(b"HTTP/1.1 401")
        assert b"nonce_replayed" in again


async def test_ed25519_both_ways() -> None:
    """Our private key signs, the wallet's public one verifies; without that key a signed answer is not believed."""
    seed, theirs = (base64.b64encode(bytes([byte] * 32)).decode() for byte in (1, 2))
    ours = Ed25519SigningKey.of_base64("ewk_ed", seed)
    wallet_key = Ed25519SigningKey.of_base64("ewk_ed", theirs)
    public = base64.b64encode(wallet_key.private_key.public_key().public_bytes_raw()).decode()

    class Both:
        """The wallet's side: verifies with our public key, signs with its own."""

        key_id, algorithm = "ewk_ed", "ed25519"
        verifies = Ed25519VerifyingKey("ewk_ed", ours.private_key.public_key()).verifies
        sign = wallet_key.sign

    wallet = FakeWallet()
    wallet.model.open_account("w1", "100.00")
    key = WalletKey(key_id="ewk_ed", secret=SecretStr(seed), algorithm="ed25519", response_public_key=public)
    blind = WalletKey(key_id="ewk_ed", secret=SecretStr(seed), algorithm="ed25519")
    broken = WalletKey(key_id="ewk_ed", secret=SecretStr("no key"), algorithm="ed25519")
    async with a_client() as client, run_wallet(WalletServer(wallet=wallet, keys=[Both()])) as server:  # type: ignore[list-item] # has what is used
        result = await client.put_transfer(to(server.url, key, signatures="required"), order())
        assert isinstance(result, Definitive)
        assert result.call.signature_verified is True
        unread = await client.put_transfer(to(server.url, blind), order(2))
        assert isinstance(unread, Unknown)
        assert unread.code == "response_signature_key_unknown"
        unsigned = await client.put_transfer(to(server.url, broken), order(3))
        assert isinstance(unsigned, NotSent)
        assert unsigned.code == "request_unsignable"


@pytest.mark.parametrize("wallet_id", [".", "..", "%2e%2e"])
async def test_no_name_leaves_the_base_url(wallet_id: str) -> None:
    """What would climb out of the path is never sent; what only looks so is escaped."""
    async with a_client() as client, a_wallet() as server:
        with pytest.raises(ReadFailed) as failed:
            await client.balance(to(server.url), wallet_id=wallet_id)
        sent = [request.split(b" ")[1] for request in server.requests]
        if wallet_id == "%2e%2e":
            assert sent == [b"/v1/wallets/%252e%252e/balance"]
        else:
            assert (failed.value.code, failed.value.sent, sent) == ("destination_refused", False, [])


async def test_an_address_that_is_not_allowed_is_never_called() -> None:
    """The guard's refusal is a step that was not sent."""
    async with a_client() as client:
        for url in (
            "http://10.0.0.1",
            "https://169.254.169.254",
            "http://wallet.example",
            "not a url",
            "https://[::1]",
        ):
            result = await client.put_transfer(to(url), order())
            assert isinstance(result, NotSent)
            assert result.code == "destination_refused"


async def test_no_key_shows_anywhere() -> None:
    """Not in what is sent, not in any repr."""
    async with a_client() as client, a_wallet() as server:
        endpoint = to(server.url)
        result = await client.put_transfer(endpoint, order())
        assert all(b"made up" not in request for request in server.requests)
        assert "made up" not in f"{endpoint!r} {NEW!r} {result!r} {server.keys!r}"
