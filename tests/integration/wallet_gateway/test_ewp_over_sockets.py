"""ewp/1 over real sockets: what is signed, what is believed, and what is never sent."""

import asyncio
import base64
import time

import pytest
from pydantic import SecretStr

from shared.ewp.signing_keys import Ed25519SigningKey, Ed25519VerifyingKey, HmacKey
from support.egress_peer import Peer, run_peer
from support.ewp_calls import NEW, OLD, a_client, a_wallet, hmac_of, order, to
from support.fake_wallet import FakeWallet
from support.wallet_server import WalletServer, run_wallet
from wallet_gateway.protocols.endpoint import WalletKey
from wallet_gateway.protocols.results import Definitive, NotSent, ReadFailed, Unknown


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
