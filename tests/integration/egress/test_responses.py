"""Answers that are cut short, malformed, oversized, early, or merely old-fashioned."""

import asyncio

import pytest

from shared.egress import (
    EgressClient,
    EgressError,
    ResponseBroken,
    ResponseMalformed,
    SentUnknown,
)
from support.egress_peer import OK, Peer, answer, post, reset, run_peer, timed


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsh",
    ],
)
async def test_a_body_cut_short_is_broken_with_its_status(client: EgressClient, raw: bytes) -> None:
    """A connection that ends in the body is ``ResponseBroken``, and the status that came is kept."""
    async with run_peer(answer(raw)) as peer:
        with pytest.raises(ResponseBroken) as broken:
            await post(client, peer)
    assert broken.value.status == 200


async def test_a_reset_in_a_body_that_ends_with_its_connection_is_broken(client: EgressClient) -> None:
    """Without a length only an orderly close ends a body; a reset does not."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\npart")
        await writer.drain()
        await received.wait()
        reset(writer)

    received = asyncio.Event()
    async with run_peer(script) as peer:
        pending = asyncio.ensure_future(post(client, peer))
        asyncio.get_running_loop().call_later(0.2, received.set)  # the part must be read before the reset overtakes it
        with pytest.raises(ResponseBroken) as broken:
            await pending
    assert broken.value.status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 " + b"a" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: a\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    ],
)
async def test_malformed_or_oversized_heads_are_malformed(client: EgressClient, raw: bytes) -> None:
    """What is not HTTP, or breaks a limit, is ``ResponseMalformed``: it was sent, and the answer is useless."""
    async with run_peer(answer(raw)) as peer:
        with pytest.raises(ResponseMalformed) as malformed:
            await post(client, peer)
    assert isinstance(malformed.value, SentUnknown)


async def test_broken_chunks_are_malformed_at_once(client: EgressClient) -> None:
    """Chunked framing that breaks after the head ends the request there, not at the deadline."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.sleep(0.05)  # so that the head and the fault come in two packets
        writer.write(b"zz\r\n")
        await asyncio.Event().wait()

    async with run_peer(script) as peer:
        with pytest.raises((ResponseBroken, ResponseMalformed)) as error:
            await timed(post(client, peer), seconds_max=1.0)
    assert error.value.status == 200


async def test_a_server_that_speaks_first_is_not_answered(client: EgressClient) -> None:
    """A banner before the request is never the response to it."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await peer.read_request(reader)
        writer.write(OK)

    async with run_peer(script) as peer:
        with pytest.raises(EgressError) as error:
            await post(client, peer)
    assert error.value.code in {"connect_failed", "response_malformed"}


@pytest.mark.parametrize(
    ("raw", "connections"),
    [
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 2),
        (b"HTTP/1.0 200 OK\r\n\r\nok", 2),
        (b"HTTP/1.1 200 OK\r\n\r\nok", 2),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", 2),
        (b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 1),
    ],
)
async def test_old_and_unusual_but_valid_answers_are_understood(
    client: EgressClient, raw: bytes, connections: int
) -> None:
    """HTTP/1.0, bodies that end with the connection, and interim responses are fine."""
    async with run_peer(answer(raw, times=2 if connections == 1 else 1)) as peer:
        for _ in range(2):
            response = await post(client, peer)
            assert (response.status, response.body, response.truncated) == (200, b"ok", False)
        assert peer.connections == connections


async def test_an_answer_before_the_request_was_read_does_not_poison_the_pool(client: EgressClient) -> None:
    """A peer that answers early leaves unsent bytes behind; that connection is not used again."""

    async def script(_peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await asyncio.Event().wait()

    async with run_peer(script) as peer:
        for _ in range(2):
            response = await client.request("POST", peer.url, headers={}, body=bytes(20_000_000), deadline_seconds=5)
            assert response.status == 413
        assert peer.connections == 2
