"""A caller that sends a request by hand, as slowly as a test wants, and sees when the other side closes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class SlowSender:
    """One connection on which the head of a request was sent."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send a piece of the body."""
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, *, every_seconds: float) -> None:
        """Send the same piece again and again until the connection ends."""
        try:
            while True:
                await self.send(data)
                await asyncio.sleep(every_seconds)
        except ConnectionError:
            return

    async def answer(self) -> tuple[int, str]:
        """Return the status and all that came until the other side closed, which it must do within ten seconds."""
        received = b""
        async with asyncio.timeout(10):
            try:
                while piece := await self.reader.read(65536):
                    received += piece
            except ConnectionError:
                assert received, "closed without an answer"
        return int(received.split()[1]), received.decode()


@asynccontextmanager
async def slow_post(url: str, path: str, **headers: str) -> AsyncIterator[SlowSender]:
    """Connect and send a head that announces 1 MB unless ``content_length`` says otherwise; no body yet."""
    where = urlsplit(url)
    assert where.hostname
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    sent = {"content_length": "1000000", "content_type": "application/json", "host": "x", **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in sent.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    try:
        yield SlowSender(reader, writer)
    finally:
        writer.close()
