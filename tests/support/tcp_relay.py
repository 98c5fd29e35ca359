"""A relay before a server: shut it, and connections are refused; hold it, and nothing answers. Ports of loopback only."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"
_READ_BYTES = 65_536


@dataclass(slots=True)
class TcpRelay:
    """Forwards bytes both ways; ``port`` stays the same over ``shut`` and ``open``. ``tls``: it speaks that, the server not."""

    target_port: int
    tls: ssl.SSLContext | None = None
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _passing: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self) -> None:
        """Take connections and what they send, and pass nothing on."""
        self._passing.clear()

    def go_on(self) -> None:
        """Pass on what was held, and what comes."""
        self._passing.set()

    async def open(self) -> None:
        """Listen."""
        self._passing.set()
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse new connections, and reset those there are."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, onward = await asyncio.open_connection(LOOPBACK, self.target_port)
            self._writers |= {writer, onward}
            try:
                await asyncio.gather(self._pump(reader, onward), self._pump(there, writer))
            finally:
                self._writers -= {writer, onward}
                onward.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # cancelled by ``shut`` alone, and nothing is left to do
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_READ_BYTES):
            await self._passing.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()  # TLS ends both ways at once


@asynccontextmanager
async def tcp_relay(target_port: int, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[TcpRelay]:
    """Give an open relay to a port."""
    relay = TcpRelay(target_port, tls)
    await relay.open()
    try:
        yield relay
    finally:
        await relay.shut()
