"""A peer on loopback that does exactly what a test says: hang, drip, reset, lie."""

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from shared.egress import EgressClient, EgressResponse

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Script = Callable[["Peer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """What arrived: one entry per connection and per request."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.connections = 0
        self.requests: list[bytes] = []
        self.bytes_written = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def read_request(self, reader: asyncio.StreamReader) -> bytes:
        """Return the next request, head and body; raise ``IncompleteReadError`` when the connection ends."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        request = head + await reader.readexactly(int(length or b"0"))
        self.requests.append(request)
        return request

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.script(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away, which is often the point
        finally:
            writer.close()


@asynccontextmanager
async def run_peer(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Serve ``script`` on a free port of 127.0.0.1 until the block ends, whatever its connections do then."""
    peer = Peer(script)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):  # the test is over while this connection hangs, as scripted
            await peer.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def answer(raw: bytes, *, times: int = 1) -> Script:
    """Script: read a request, write ``raw``, ``times`` times on each connection, then close it."""

    async def script(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            await peer.read_request(reader)
            writer.write(raw)
            await writer.drain()

    return script


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def post(client: EgressClient, peer: Peer, *, deadline_seconds: float = 5.0) -> EgressResponse:
    headers = {"content-type": "application/json"}
    return await client.request("POST", peer.url, headers=headers, body=b'{"a":1}', deadline_seconds=deadline_seconds)


async def timed(work: Awaitable[EgressResponse], *, seconds_max: float) -> EgressResponse:
    """Await ``work`` and fail if it took longer than allowed, however it ended."""
    started = time.monotonic()
    try:
        return await work
    finally:
        assert time.monotonic() - started < seconds_max
