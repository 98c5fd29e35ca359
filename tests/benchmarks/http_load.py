"""A load of POST requests, as a process of its own that costs little: raw HTTP/1.1 over kept connections.

Reads one JSON line (``urls``, ``path``, ``headers``, ``bodies``, ``connections``, ``seconds`` or ``each_once``, and what a good
answer is: its ``status`` and a text ``holds`` in it), prints one: counts and latencies. Each connection asks again as soon as
it was answered; latency is from handing a request to the socket to the last byte of its answer. ``run_load`` starts it.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length: "


class _Connection(asyncio.Protocol):
    """Sends the requests of ``turn`` one after the other until it ends or the time has come."""

    def __init__(
        self, turn: Iterator[bytes], latencies: list[float], *, until: float, good: tuple[bytes, bytes]
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turn = turn
        self._latencies = latencies
        self._until = until
        self._status_line, self._holds = good
        self._buffer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; before its time that is a fault."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed a kept connection"))

    def data_received(self, data: bytes) -> None:
        """Take an answer; any other than a good one is a fault."""
        self._buffer += data
        head_end = self._buffer.find(_END_OF_HEAD)
        if head_end < 0:
            return
        start = self._buffer.index(_LENGTH) + len(_LENGTH)
        length = int(self._buffer[start : self._buffer.index(b"\r\n", start)])
        if len(self._buffer) < head_end + len(_END_OF_HEAD) + length:
            return
        answer, self._buffer = self._buffer, b""
        self._latencies.append(time.perf_counter() - self._sent_at)
        if not answer.startswith(self._status_line) or self._holds not in answer:
            self.done.set_exception(RuntimeError(answer[:500].decode(errors="replace")))
            self._transport.close()
            return
        self._send()

    def _send(self) -> None:
        request = next(self._turn, None) if time.perf_counter() < self._until else None
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


async def run_load(task: dict[str, Any]) -> dict[str, float]:
    """Run the load in a process of its own: ``requests``, ``per_second``, ``p50_ms``, ``p99_ms``. Raises RuntimeError."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate(json.dumps(task).encode() + b"\n")
    if process.returncode:
        raise RuntimeError("the load failed, the run is void")
    figures: dict[str, float] = json.loads(out)
    return figures


def _request(task: dict[str, Any], body: str) -> bytes:
    sent = body.encode()
    headers = {"host": "127.0.0.1", "content-type": "application/json", **task["headers"], "content-length": len(sent)}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {task['path']} HTTP/1.1\r\n{head}\r\n".encode() + sent


async def _run(task: dict[str, Any]) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    requests = [_request(task, body) for body in task["bodies"]]
    good = (f"HTTP/1.1 {task['status']}".encode(), task["holds"].encode())
    turn = iter(requests) if task.get("each_once") else itertools.cycle(requests)
    started_at = time.perf_counter()
    until = started_at + task.get("seconds", 600.0)
    connections = []
    for number in range(task["connections"]):
        address = urlsplit(task["urls"][number % len(task["urls"])])
        _, connection = await loop.create_connection(
            lambda: _Connection(turn, latencies, until=until, good=good), address.hostname, address.port
        )
        connections.append(connection)
    await asyncio.gather(*(connection.done for connection in connections))
    took = time.perf_counter() - started_at
    ordered = sorted(latencies)
    return {
        "requests": len(ordered),
        "per_second": len(ordered) / took,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(_run(json.loads(sys.stdin.buffer.readline())))) + "\n")
