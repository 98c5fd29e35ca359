"""Answers of wallets that lie, stall and overflow, over real sockets: none is believed, each is bounded."""

import asyncio
import contextlib
import gzip
import time
from collections.abc import Sequence

import orjson
import pytest

from shared.ewp.signature_fields import content_digest
from support.egress_peer import Peer, Script, answer, run_peer
from support.ewp_calls import a_client, order, to
from wallet_gateway.protocols.results import Definitive, ReadFailed, StepResult, Unknown

SECONDS_MAX = 3.0


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


async def test_what_was_not_asked_for_is_not_shown() -> None:
    """Another wallet than the one in the path, and more of the feed than the page was to hold."""
    amounts = {"ledger": "1.00", "available": "1.00", "held": "0.00"}
    about = {"owner_ref": "a", "currency": "USD", "scale": 2, "as_of": "2026-01-01T00:00:00Z", "version": 1}
    entries = [{**orjson.loads(COMMITTED), "seq": seq} for seq in (1, 2)]
    async with (
        a_client() as client,
        run_peer(answer(http(orjson.dumps({"wallet_id": "w2", **about, **amounts})))) as peer,
    ):
        here = to(f"http://127.0.0.1:{peer.port}")
        assert (await client.balance(here, wallet_id="w2")).value.wallet_id == "w2"
        with pytest.raises(ReadFailed, match="answer_malformed"):
            await client.balance(here, wallet_id="w1")
    feed = http(orjson.dumps({"data": entries, "latest_seq": 2}))
    async with a_client() as client, run_peer(answer(feed)) as peer:
        here = to(f"http://127.0.0.1:{peer.port}")
        assert len((await client.feed(here, after_seq=0, limit=2)).value.data) == 2
        with pytest.raises(ReadFailed, match="answer_malformed"):
            await client.feed(here, after_seq=0, limit=1)


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
