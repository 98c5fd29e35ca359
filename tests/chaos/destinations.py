"""Destinations that do what they should not, each on loopback and each in its own way."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from support.certificates import server_context, write_self_signed
from support.egress_peer import Peer, Script, reset, run_peer

_BODY_BYTES = 1024 * 1024 * 1024
_CHUNK = bytes(64 * 1024)
_UNZIPPED_BYTES = 256 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class BadDestination:
    """One of them. ``codes`` are those that its attempts may end with; none where it is a success in spite of all."""

    name: str
    codes: frozenset[str]
    url: str
    peer: Peer | None = None


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
REDIRECTED_TO = "302 to here"
RETRY_AFTERS = (
    *(b"99999999999999999999", b"-5", b"soon"),
    *(b"Wed, 21 Oct 2015 07:28:00 GMT", b"Fri, 31 Dec 9999 23:59:59 GMT"),
)


@asynccontextmanager
async def bad_destinations(folder: Path) -> AsyncIterator[list[BadDestination]]:
    """Serve them all until the block ends."""
    found: list[BadDestination] = []
    write_self_signed(folder / "peer.pem")
    async with AsyncExitStack() as stack:

        async def add(name: str, script: Script, *codes: str, tls: ssl.SSLContext | None = None) -> BadDestination:
            peer = await stack.enter_async_context(run_peer(script, tls=tls))
            url = peer.url.replace("http:", "https:") if tls else peer.url
            found.append(BadDestination(name=name, codes=frozenset(codes), url=url, peer=peer))
            return found[-1]

        unused = stack.enter_context(socket.socket())
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        found.append(BadDestination(name="refuses", codes=frozenset({"connect_failed"}), url=url))
        await add("resets before the request", _reset_at_once, "response_broken", "connect_failed")
        await add("resets after the request", _reset_after_reading, "response_broken")
        await add("hangs before the headers", _hang, "timeout")
        await add("drips a byte a second", _drip, "timeout")
        await add("sends 1 GB", _endless)
        await add("gzip bomb", _replies(_bomb()))
        target = await add(REDIRECTED_TO, _replies(OK))
        await add("302", _replies(_status(b"302 Found", b"location: " + target.url.encode())), "http_302")
        await add("410", _replies(_status(b"410 Gone")), "http_410")
        for value in RETRY_AFTERS:
            name = f"429, retry-after {value.decode()}"
            await add(name, _replies(_status(b"429 No", b"retry-after: " + value)), "http_429")
        await add("untrusted certificate", _hang, "tls_failed", tls=server_context(folder / "peer.pem"))
        plain = await add("TLS to a plain port", _hang, "connect_timeout")
        plain.url = plain.url.replace("http:", "https:")
        await add("HTTP/1.0", _replies(b"HTTP/1.0 200 OK\r\n\r\nok"))
        malformed = {
            "header without a colon": b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
            "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok",
            "no status line": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
            "headers of a megabyte": _status(b"200 OK", b"x: " + b"y" * 1024 * 1024),
        }
        for name, raw in malformed.items():
            await add(name, _replies(raw), "response_malformed")
        yield found


def _status(line: bytes, *headers: bytes) -> bytes:
    return b"HTTP/1.1 " + b"\r\n".join([line, *headers, b"content-length: 0", b"", b""])


def _replies(raw: bytes) -> Script:
    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await peer.read_request(reader)
            writer.write(raw)
            await writer.drain()
            if raw.startswith(b"HTTP/1.0"):
                return

    return script


async def _reset_at_once(_peer: Peer, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reset(writer)


async def _reset_after_reading(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.read_request(reader)
    reset(writer)


async def _hang(peer: Peer, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await peer.read_request(reader)
    await reader.read()


async def _drip(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.read_request(reader)
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def _endless(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % _BODY_BYTES)
    for _ in range(_BODY_BYTES // len(_CHUNK)):
        writer.write(_CHUNK)
        await writer.drain()
        peer.bytes_written += len(_CHUNK)


def _bomb() -> bytes:
    body = gzip.compress(bytes(_UNZIPPED_BYTES), compresslevel=9)
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body
