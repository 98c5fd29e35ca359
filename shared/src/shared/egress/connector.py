"""Connections to destinations: resolved, judged, pooled for a short while.

The guard stands at three places, each enough by itself for its own kind of host: the resolver (a name with any denied answer is
refused whole), the socket factory (the last step before a packet leaves, for literals and cached answers too), and, for
plain http, the connected peer.
"""

import asyncio
import functools
import select
import socket
import time
from collections.abc import Callable
from ipaddress import ip_address
from ssl import SSLContext
from typing import Any, Final, cast

from aiohttp import ClientConnectionError, ClientRequest, ClientTimeout, StreamReader, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import AddrInfoType, Connection

from shared.egress.address_guard import Address, AddressPolicy
from shared.egress.errors import AddressBlocked, ConnectFailed, NameNotResolved

# aiohttp's own time-outs stay off: one deadline around the whole request is the only clock.
NO_TIMEOUT: Final = ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)

Clock = Callable[[], float]


class SocketRefused(OSError):  # noqa: N818 - errors are named facts
    """Carries ``AddressBlocked`` out of the socket factory: aiohttp's connection race passes on only OSError."""

    def __init__(self, blocked: AddressBlocked) -> None:
        super().__init__("address blocked")  # the race keeps an exception whole only if all of them read alike
        self.blocked = blocked


class GuardedResolver(AbstractResolver):
    """Judge every answer of another resolver: one denied answer refuses the name."""

    def __init__(self, resolver: AbstractResolver, policy: AddressPolicy) -> None:
        self._resolver = resolver
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the answers, or raise ``NameNotResolved`` (none) or ``AddressBlocked`` (any is denied)."""
        try:
            answers = await self._resolver.resolve(host, port, family)
        except (OSError, UnicodeError) as error:
            raise NameNotResolved(f"{host}: no answer") from error
        if not answers:
            raise NameNotResolved(f"{host}: no addresses")
        for answer in answers:
            self._policy.judge_endpoint(_parse_address(answer["host"]), port)
        return answers

    async def close(self) -> None:
        await self._resolver.close()


class GuardedProtocol(ResponseHandler):
    """One connection, with what the pool must know about it.

    An idle connection owes us silence. aiohttp would queue what arrives there and hand it to the next request as its
    answer; here the first unasked byte closes the connection.
    """

    opened_at = 0.0
    remote_address: str | None = None
    used = False
    idle = False

    def data_received(self, data: bytes) -> None:
        if self.idle and data:
            self.close()
            return
        super().data_received(data)

    # aiohttp leaves the reader of a body waiting when the framing breaks in its middle, and when the connection is closed
    # from our side (the client's shutdown). These three tell it.

    def set_exception(self, exc: BaseException, *args: Any, **kwargs: Any) -> None:
        body = self._payload
        super().set_exception(exc, *args, **kwargs)
        _end_body(body, exc)

    def close(self) -> None:
        body = self._payload
        super().close()
        _end_body(body, ClientConnectionError("closed from our side"))

    def abort(self) -> None:
        body = self._payload
        super().abort()
        _end_body(body, ClientConnectionError("closed from our side"))

    def fit_for_request(self, *, opened_after: float) -> bool:
        """Tell whether a request may be written: open, young enough, and nothing left of an earlier exchange.

        A used connection is also asked for news that the event loop has not brought yet. A busy loop is late by
        milliseconds, and a request written into a connection that the peer has closed is an unknown outcome for nothing.
        """
        if not self.is_connected() or self.opened_at < opened_after or self.should_close:
            return False
        return not self.used or not _has_news(self.transport)


class GuardedConnector(TCPConnector):
    """aiohttp's pool, with the guard in its socket factory and a maximum age for connections."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        resolver: AbstractResolver,
        ssl_context: SSLContext,
        connections_max: int,
        connections_per_host_max: int,
        idle_seconds: float,
        connection_age_seconds_max: float,
        dns_cache_seconds: int,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(
            resolver=GuardedResolver(resolver, policy),
            ssl=ssl_context,
            limit=connections_max,
            limit_per_host=connections_per_host_max,
            keepalive_timeout=idle_seconds,
            ttl_dns_cache=dns_cache_seconds,
            use_dns_cache=dns_cache_seconds > 0,
            socket_factory=self._open_socket,
        )
        self._factory = cast("functools.partial[ResponseHandler]", functools.partial(GuardedProtocol, loop=self._loop))
        self._policy = policy
        self._connection_age_seconds_max = connection_age_seconds_max
        self._clock = clock

    async def acquire(self, request: ClientRequest) -> tuple[Connection, GuardedProtocol]:
        """Return a connection that a request may be written to, pooled or new. Nothing has been written to a new one."""
        while True:
            connection = await self.connect(request, [], NO_TIMEOUT)
            protocol = connection.protocol
            assert isinstance(protocol, GuardedProtocol)  # _factory above makes nothing else
            protocol.idle = False
            if protocol.fit_for_request(opened_after=self._clock() - self._connection_age_seconds_max):
                return connection, protocol
            connection.close()
            if not protocol.used:
                raise ConnectFailed("the peer closed the connection, or spoke, before the request")

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Any],
        timeout: ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature; it is passed on
    ) -> ResponseHandler:
        protocol = await super()._create_connection(req, traces, timeout)
        assert isinstance(protocol, GuardedProtocol)
        peer = protocol.transport.get_extra_info("peername") if protocol.transport is not None else None
        if peer is None:
            protocol.close()
            raise ConnectFailed("the peer closed the connection at once")
        protocol.remote_address = peer[0]
        protocol.opened_at = self._clock()
        if req.url.scheme == "http":
            address = _parse_address(peer[0])
            if not self._policy.opens(address):
                protocol.close()
                raise AddressBlocked(address, "plain_http")
        return protocol

    def _open_socket(self, addr_info: AddrInfoType) -> socket.socket:
        """Judge the final socket address of a connection, then make its socket."""
        family, kind, protocol_number, _, sockaddr = addr_info
        try:
            self._policy.judge_endpoint(_parse_address(sockaddr[0]), sockaddr[1])
        except AddressBlocked as error:
            raise SocketRefused(error) from error
        return socket.socket(family, kind, protocol_number)


def _end_body(body: StreamReader | None, error: BaseException) -> None:
    if body is not None and not body.is_eof() and body.exception() is None:
        body.set_exception(error)


def _has_news(transport: asyncio.Transport | None) -> bool:
    handle = transport.get_extra_info("socket") if transport is not None else None
    if handle is None:
        return True
    poll = select.poll()
    poll.register(handle.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _parse_address(text: str | int) -> Address:
    try:
        return ip_address(str(text))
    except ValueError as error:
        raise AddressBlocked(None, "not_an_address") from error
