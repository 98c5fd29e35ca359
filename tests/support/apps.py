"""Run an application in the test's own process: through memory, or behind a real socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Literal

import httpx2
import uvicorn
from fastapi import FastAPI

LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def in_memory(
    app: FastAPI, *, headers: dict[str, str] | None = None, client_ip: str = LOOPBACK
) -> AsyncIterator[httpx2.AsyncClient]:
    """Start the application and give a client that calls it without a socket; ``client_ip`` is who it seems to be."""
    async with app.router.lifespan_context(app), client_of(app, headers=headers, client_ip=client_ip) as client:
        yield client


def client_of(app: FastAPI, *, headers: dict[str, str] | None = None, client_ip: str = LOOPBACK) -> httpx2.AsyncClient:
    """Return another client of an application that runs already."""
    transport = httpx2.ASGITransport(app, client=(client_ip, 40_000))
    return httpx2.AsyncClient(transport=transport, base_url="http://service.test", headers=headers)


@asynccontextmanager
async def on_socket(app: FastAPI, *, port: int = 0, started: bool = False) -> AsyncIterator[str]:
    """Serve the application on a port of loopback (0: any free one), as in production, and give its base URL.

    ``started``: its lifespan runs already, and is left alone.
    """
    # Named: asyncio sends at once (TCP_NODELAY) only on what is known to be TCP, and each answer would come 40 ms late.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((LOOPBACK, port))
    lifespan: Literal["on", "off"] = "off" if started else "on"
    config = uvicorn.Config(app, lifespan=lifespan, log_config=None, proxy_headers=False, timeout_graceful_shutdown=5)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(20):
            await asyncio.wait({serving, asyncio.create_task(server.ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """A server that says when it listens, and leaves Ctrl-C to pytest."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
