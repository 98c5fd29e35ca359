"""Faults of a destination: each ends in time, in bounded memory, and as the right kind of error."""

import asyncio
import socket

import pytest

from shared.egress import (
    ConnectFailed,
    DeadlineExceeded,
    EgressClient,
    NotSent,
    ResponseBroken,
    SentUnknown,
)
from shared.egress.client import IDLE_SECONDS
from support.egress_peer import OK, Peer, answer, post, reset, run_peer, timed


async def test_an_unused_port_is_not_sent(client: EgressClient) -> None:
    """A refused connection is ``ConnectFailed``: nothing was sent."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(ConnectFailed) as failed:
            await client.request("POST", url, headers={}, body=b"x", deadline_seconds=5)
    assert isinstance(failed.value, NotSent)
    assert failed.value.code == "connect_failed"


async def test_a_reset_before_the_answer_is_unknown(client: EgressClient) -> None:
    """A peer that read the request and reset may have acted on it."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        reset(writer)

    async with run_peer(script) as peer:
        with pytest.raises(ResponseBroken) as broken:
            await post(client, peer)
        assert len(peer.requests) == 1
    assert isinstance(broken.value, SentUnknown)
    assert (broken.value.code, broken.value.status) == ("response_broken", None)


async def test_a_reset_without_reading_is_never_called_not_sent(client: EgressClient) -> None:
    """A peer that resets at once: written or not cannot be told apart on a new connection, so it is one of the two."""

    async def script(_peer: Peer, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async with run_peer(script) as peer:
        with pytest.raises((ResponseBroken, ConnectFailed)):
            await post(client, peer)


async def test_a_close_before_the_answer_is_unknown(client: EgressClient) -> None:
    """An orderly close instead of an answer is unknown as well."""
    async with run_peer(answer(b"")) as peer:
        with pytest.raises(ResponseBroken):
            await post(client, peer)


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
async def test_a_pooled_connection_that_dies_on_reuse_is_unknown_and_sent_once(
    client: EgressClient, method: str
) -> None:
    """The second request on a connection meets a reset: one more request arrived at the peer, not two."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(OK)
        await peer.read_request(reader)
        reset(writer)

    async with run_peer(script) as peer:
        body = b"x" if method in {"POST", "PUT"} else None
        await client.request(method, peer.url, headers={}, body=body, deadline_seconds=5)
        with pytest.raises(ResponseBroken):
            await client.request(method, peer.url, headers={}, body=body, deadline_seconds=5)
        assert (peer.connections, len(peer.requests)) == (1, 2)


async def test_a_pooled_connection_closed_while_idle_is_not_used(client: EgressClient) -> None:
    """A close that has been noticed costs a new connection, not an error."""
    async with run_peer(answer(OK)) as peer:
        await post(client, peer)
        await until_no_idle_connection(client)
        assert (await post(client, peer)).status == 200
        assert peer.connections == 2


async def test_a_close_that_the_loop_has_not_brought_yet_is_seen(client: EgressClient) -> None:
    """A busy event loop does not make the client write into a connection that its peer has closed."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sockets.append(writer.get_extra_info("socket"))
        await peer.read_request(reader)
        writer.write(OK)
        await reader.read()

    sockets: list[socket.socket] = []
    async with run_peer(script) as peer:
        await post(client, peer)
        sockets[0].shutdown(socket.SHUT_WR)  # nothing runs on the loop between this and the next write
        assert (await post(client, peer)).status == 200
        assert (peer.connections, len(peer.requests)) == (2, 2)


async def test_what_an_idle_connection_says_is_not_taken_for_an_answer(client: EgressClient) -> None:
    """A second, unasked answer does not become the answer of the next request."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(OK)
        await writer.drain()
        forged.set()
        await proceed.wait()
        writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: 6\r\n\r\nforged")
        await peer.read_request(reader)
        writer.write(OK)

    forged, proceed = asyncio.Event(), asyncio.Event()
    async with run_peer(script) as peer:
        await post(client, peer)
        await forged.wait()
        proceed.set()
        await until_no_idle_connection(client)
        response = await post(client, peer)
        assert (response.status, response.body) == (200, b"ok")
        assert peer.connections == 2


async def test_an_answer_glued_to_the_first_is_not_kept(client: EgressClient) -> None:
    """Two answers to one request in one packet: the first counts, the connection goes."""
    forged = b"HTTP/1.1 201 Created\r\ncontent-length: 6\r\n\r\nforged"
    async with run_peer(answer(OK + forged, times=2)) as peer:
        assert (await post(client, peer)).body == b"ok"
        assert (await post(client, peer)).body == b"ok"
        assert peer.connections == 2


async def until_no_idle_connection(client: EgressClient) -> None:
    """Wait until the pool has noticed that its idle connections are gone, well before their idle time ends."""
    async with asyncio.timeout(IDLE_SECONDS / 2):
        for pooled in list(client._connector._conns.values()):
            for protocol, _ in pooled:
                if protocol.closed is not None:
                    await asyncio.wait([protocol.closed])


async def test_silence_before_headers_meets_the_deadline(client: EgressClient) -> None:
    """A peer that never answers costs the deadline and no more."""

    async def script(peer: Peer, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        await asyncio.Event().wait()

    async with run_peer(script) as peer:
        with pytest.raises(DeadlineExceeded) as exceeded:
            await timed(post(client, peer, deadline_seconds=0.3), seconds_max=1.0)
    assert (exceeded.value.code, exceeded.value.stage, exceeded.value.status) == ("timeout", "headers", None)


@pytest.mark.parametrize(
    ("start", "stage", "status"),
    [
        (b"", "headers", None),
        (b"HTTP/1.1 200 OK\r\nx: ", "headers", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", "body", 200),
        (b"HTTP/1.1 200 OK\r\n\r\n", "body", 200),
    ],
)
async def test_a_drip_meets_the_total_deadline(client: EgressClient, start: bytes, stage: str, status: int) -> None:
    """A byte now and then never extends the deadline, wherever the drip begins."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(start)
        for byte in (b"HTTP/1.1 200 OK\r\nx:" + b"a" * 1000) if not start else b"a" * 1000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    async with run_peer(script) as peer:
        with pytest.raises(DeadlineExceeded) as exceeded:
            await timed(post(client, peer, deadline_seconds=0.4), seconds_max=1.2)
    assert (exceeded.value.stage, exceeded.value.status) == (stage, status)
