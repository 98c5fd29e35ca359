"""Faults of sending, below what a web framework offers: connections that are cut, bodies that do not end."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from reference_wallet.faults.rule import SendingFault

_TRANSPORT = "reference_wallet.transport"
_PIECE = b'{"state":"committed"},' * 1000
_BOMB_BYTES = 1024**3
_ZEROS = b"0" * 1024**2


class TransportInScope:
    """ASGI wrapper around everything else: keeps the connection itself within reach of a fault.

    uvicorn hands ``send`` in as a method of the object that has the transport. Without one (in memory) there is none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] == "http":
            scope[_TRANSPORT] = getattr(getattr(send, "__self__", None), "transport", None)
        await self._app(scope, receive, send)


class Cut(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Cut the connection."""
        await cut(scope, receive)


class Mishandled(Response):
    """An answer whose body is sent as no server should."""

    def __init__(self, whole: Response, fault: SendingFault, *, pause_seconds: float) -> None:
        super().__init__()
        self._whole = whole
        self._fault = fault
        self._pause_seconds = pause_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, then the pieces for as long as the caller listens, and cut the connection."""
        dropped = {b"content-length"} if self._fault in {"endless", "gzip_bomb"} else set()
        headers = [(name, value) for name, value in self._whole.raw_headers if name not in dropped]
        if self._fault == "gzip_bomb":
            headers.append((b"content-encoding", b"gzip"))
        await send({"type": "http.response.start", "status": self._whole.status_code, "headers": headers})
        async for piece in _PIECES[self._fault](bytes(self._whole.body), self._pause_seconds):
            if _is_gone(scope):
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await cut(scope, receive)


async def cut(scope: Mapping[str, Any], receive: Receive) -> None:
    """Reset the connection of a request, and wait until the server has noticed: it would complain of a missing answer."""
    transport = scope.get(_TRANSPORT)
    if transport is None:
        raise RuntimeError("there is no connection to cut: this wallet is not served by uvicorn")
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _is_gone(scope: Mapping[str, Any]) -> bool:
    transport = scope.get(_TRANSPORT)
    return transport is None or transport.is_closing()


async def _half(body: bytes, _pause_seconds: float) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    # The half has to leave before the connection is cut.
    await asyncio.sleep(0.05)


async def _drip(body: bytes, pause_seconds: float) -> AsyncIterator[bytes]:
    for byte in body[:-1]:
        yield bytes([byte])
        await asyncio.sleep(pause_seconds)


async def _endless(_body: bytes, _pause_seconds: float) -> AsyncIterator[bytes]:
    yield b'{"data":['
    while True:
        yield _PIECE
        await asyncio.sleep(0)


async def _bomb(_body: bytes, _pause_seconds: float) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    yield packer.compress(b'{"state":"')
    for _ in range(_BOMB_BYTES // len(_ZEROS)):
        packed = packer.compress(_ZEROS)
        if packed:
            yield packed
        await asyncio.sleep(0)
    yield packer.flush()


_PIECES: Mapping[SendingFault, Callable[[bytes, float], AsyncIterator[bytes]]] = {
    "truncated": _half,
    "drip": _drip,
    "endless": _endless,
    "gzip_bomb": _bomb,
}
SENDING_FAULTS = frozenset(_PIECES)
