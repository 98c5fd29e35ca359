"""Wallet systems for measurements, as a process that costs little: answers every query of balances, or never answers.

Prints its port. Below ``/hang`` it takes requests and says nothing; elsewhere each query is answered at once, unsigned.
"""

import asyncio
import sys
from typing import cast

import uvloop

OWNER_REF = "a1b2c3d4"
_BODY = (
    '{"data":[{"wallet_id":"acct-1","owner_ref":"' + OWNER_REF + '","currency":"USD","scale":2,"ledger":"250.00",'
    '"available":"200.00","held":"50.00","as_of":"2026-03-01T12:00:00Z","version":7}],"next_cursor":null}'
).encode()
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class _Wallet(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(rest) < length:
            return
        self._buffer = b""
        if b" /hang/" not in head:
            self._transport.write(_ANSWER)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Wallet, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
