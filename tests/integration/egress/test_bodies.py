"""Bodies of answers: capped, decoded, bounded in memory whatever the peer sends."""

import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from shared.egress import (
    EgressClient,
    ResponseMalformed,
)
from support.egress_peer import Peer, answer, post, run_peer


async def test_an_endless_body_stops_at_the_cap(client: EgressClient) -> None:
    """Of a body of 1 GB only the first bytes are read, then the connection is closed."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while peer.bytes_written < 1_000_000_000:
            writer.write(b"a" * 65_536)
            await writer.drain()
            peer.bytes_written += 65_536

    async with run_peer(script) as peer:
        response = await post(client, peer)
        assert response.body == b"a" * 16_384
        assert response.truncated
        assert (await post(client, peer)).truncated
        assert peer.connections == 2
        assert peer.bytes_written < 50_000_000  # what the kernel's buffers swallowed


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_within_the_cap_is_whole_and_keeps_its_connection(
    client: EgressClient, size: int, *, chunked: bool
) -> None:
    """The cap itself still fits."""
    content = b"b" * size
    if chunked:
        framed = (b"%x\r\n%b\r\n" % (size, content) if size else b"") + b"0\r\n\r\n"
        raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + framed
    else:
        raw = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (size, content)
    async with run_peer(answer(raw, times=3)) as peer:
        for _ in range(3):
            response = await post(client, peer)
            assert (response.body, response.truncated) == (content, False)
        assert peer.connections == 1


def compressed(coding: str, content: bytes) -> bytes:
    if coding == "gzip":
        return gzip.compress(content)
    if coding == "deflate":
        return zlib.compress(content)
    bare = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return bare.compress(content) + bare.flush()


def coded_answer(coding: str, raw: bytes) -> bytes:
    name = b"gzip" if coding == "gzip" else b"deflate"
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n%b" % (name, len(raw), raw)


CODINGS = ["gzip", "deflate", "bare deflate"]


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_compressed_answer_is_decoded(client: EgressClient, coding: str) -> None:
    """A peer that compresses although it was asked not to is still understood."""
    content = b'{"ok":true}' * 100
    async with run_peer(answer(coded_answer(coding, compressed(coding, content)), times=2)) as peer:
        for _ in range(2):
            response = await post(client, peer)
            assert (response.body, response.truncated) == (content, False)
        assert peer.connections == 1
        assert b"accept-encoding: identity\r\n" in peer.requests[0]


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_bomb_is_bounded(client: EgressClient, coding: str) -> None:
    """100 MB of zeros in 100 KB: the cap counts decoded bytes and memory stays small."""
    raw = coded_answer(coding, compressed(coding, bytes(100_000_000)))
    async with run_peer(answer(raw)) as peer:
        tracemalloc.start()
        try:
            response = await post(client, peer)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (response.body, response.truncated) == (bytes(16_384), True)
    assert peak < 5_000_000


async def test_compressed_bytes_that_decode_to_nothing_are_bounded(client: EgressClient) -> None:
    """An endless run of empty blocks stops at the cap although it yields no byte."""
    empty = zlib.compressobj(wbits=31)
    raw = empty.compress(b"") + b"".join(empty.flush(zlib.Z_FULL_FLUSH) + empty.compress(b"") for _ in range(3))
    padding = b"\x00\x00\x00\xff\xff" * 100_000
    async with run_peer(answer(coded_answer("gzip", raw + padding))) as peer:
        response = await post(client, peer)
    assert (response.body, response.truncated) == (b"", True)


@pytest.mark.parametrize("raw", [b"not compressed", gzip.compress(b"cut off" * 100, mtime=0)[:-20]])
async def test_a_coding_that_does_not_decode_is_malformed(client: EgressClient, raw: bytes) -> None:
    """The status is known and said, but there is no answer to show."""
    async with run_peer(answer(coded_answer("gzip", raw))) as peer:
        with pytest.raises(ResponseMalformed) as malformed:
            await post(client, peer)
    assert (malformed.value.code, malformed.value.status) == ("response_malformed", 200)


async def test_a_coding_that_nobody_asked_for_is_kept_as_it_came(client: EgressClient) -> None:
    """Other codings are not decoded: their bytes are the body."""
    raw = b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 3\r\n\r\n\x01\x02\x03"
    async with run_peer(answer(raw)) as peer:
        assert (await post(client, peer)).body == b"\x01\x02\x03"
