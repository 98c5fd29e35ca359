"""A destination fast enough not to be the limit: counts what it gets and when its first byte came. A process of its own.

``POST /ok/…`` answers 200; ``POST /hang`` never answers; ``GET /stats`` gives and ``POST /reset`` forgets the counts.
Latency counts from the scheduled time that the event carries as ``"scheduled_ns":<unix nanoseconds>``.
"""

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n\r\nok"
_MARK = b'"scheduled_ns":'
_ID = b"\r\nwebhook-id: "
_LENGTH = b"\r\ncontent-length:"


class Counts:
    """What came in since the last reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.received = 0
        self.ids: set[bytes] = set()
        self.first_ns = 0
        self.last_ns = 0
        self.latencies_ms: list[float] = []

    def add(self, head: bytes, body: bytes, came_ns: int) -> None:
        """Count a request; ``head`` is in lower case."""
        self.received += 1
        self.first_ns = self.first_ns or came_ns
        self.last_ns = came_ns
        start = head.find(_ID) + len(_ID)
        self.ids.add(head[start : head.find(b"\r\n", start)])
        mark = body.find(_MARK)
        if mark >= 0:
            digits = body[mark + len(_MARK) : mark + len(_MARK) + 19]
            self.latencies_ms.append((came_ns - int(digits)) / 1e6)

    def report(self) -> bytes:
        return json.dumps(
            {
                "received": self.received,
                "unique": len(self.ids),
                "first_ns": self.first_ns,
                "last_ns": self.last_ns,
                "latencies_ms": self.latencies_ms,
            }
        ).encode()


class Protocol(asyncio.Protocol):
    """Just enough HTTP/1.1 for well-behaved clients with Content-Length."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._buffer = b""
        self._came_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        else:
            self._came_ns = time.time_ns()
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:end].lower()
            at = head.find(_LENGTH)
            whole = end + 4 + (int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0)
            if len(data) < whole:
                break
            self._answer(head, data[end + 4 : whole])
            data = data[whole:]
        self._buffer = data

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get /stats"):
            report = self._counts.report()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(report), report))
        elif head.startswith(b"post /reset"):
            self._counts.reset()
            self._transport.write(_OK)
        elif not head.startswith(b"post /hang"):
            self._counts.add(head, body, self._came_ns)
            self._transport.write(_OK)


async def _serve() -> None:
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(lambda: Protocol(counts), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # The parent holds our standard input: when it ends, however it ends, so do we.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve())
